"""What becomes of kinds of objects and of idioms is what the table in ARCHITECTURE.md says (`make carry-table`)."""

from __future__ import annotations

import pytest
from tests.carry import table
from tests.carry.groups import idioms, kinds
from tests.carry.runner import CARRIED, REOPENED, WRONG, Group, run

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

GROUPS = [(table.KINDS, group) for group in kinds()] + [(table.IDIOMS, group) for group in idioms()]


@pytest.mark.parametrize(("heading", "group"), GROUPS, ids=[f"{heading}: {group.name}" for heading, group in GROUPS])
def test_the_table_says_what_happens(heading: str, group: Group) -> None:
    if missing := group.missing():
        pytest.skip(f"{', '.join(missing)} not installed")
    said = table.verdicts(table.rows_of(table.written(), heading)[group.name])
    outcomes = run(group)
    details = {outcome.name: outcome.detail for outcome in outcomes if said.get(outcome.name) != outcome.verdict}
    assert {outcome.name: outcome.verdict for outcome in outcomes} == said, details


@pytest.mark.parametrize(("heading", "groups", "least"), [(table.KINDS, kinds(), 180), (table.IDIOMS, idioms(), 120)])
def test_the_table_is_complete(heading: str, groups: list[Group], least: int) -> None:
    rows = table.rows_of(table.written(), heading)
    assert list(rows) == [group.name for group in groups]
    assert table.table(heading, list(rows.values())) in table.written()
    for group in groups:
        assert list(table.verdicts(rows[group.name])) != []
        assert table.verdicts(rows[group.name]).keys() == {entry.name for entry in group.entries}
    assert sum(len(group.entries) for group in groups) >= least


@pytest.mark.parametrize("heading", [table.KINDS, table.IDIOMS])
def test_nothing_is_silently_different(heading: str) -> None:
    rows = table.rows_of(table.written(), heading)
    assert [name for line in rows.values() for name, verdict in table.verdicts(line).items() if verdict == WRONG] == []


def test_97_of_100_idioms_are_carried() -> None:
    rows = table.rows_of(table.written(), table.IDIOMS)
    verdicts = [verdict for line in rows.values() for verdict in table.verdicts(line).values()]
    assert sum(verdict in (CARRIED, REOPENED) for verdict in verdicts) >= 0.97 * len(verdicts)
