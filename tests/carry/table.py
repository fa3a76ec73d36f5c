"""The table of what is carried, in ARCHITECTURE.md: `python -m tests.carry.table` runs everything and writes it anew.

python -m tests.carry.table               # all groups; those whose library is missing keep their rows
python -m tests.carry.table numpy IPython # these groups only
python -m tests.carry.table --details     # also print what differs, and write nothing
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
import time

import click
from tests.carry.groups import idioms, kinds
from tests.carry.runner import CARRIED, REFUSED, REOPENED, REPOSITORY, WRONG, Group, Outcome, run

DOCUMENT = REPOSITORY / "ARCHITECTURE.md"
DETAILS = REPOSITORY / "build" / "carry-table.txt"
BEGIN, END = "<!-- carry: begin (make carry-table) -->", "<!-- carry: end -->"
VERDICTS = (CARRIED, REOPENED, REFUSED, WRONG)
HEADINGS = {
    CARRIED: "carried",
    REOPENED: "opened or made anew",
    REFUSED: "refused, in these words",
    WRONG: "different, and not said",
}
KINDS, IDIOMS = "Kinds of objects", "Idioms"
_LONGEST = 90
_BETWEEN, _WORDS = " · ", " — `"
Verdicts = dict[str, str]


def row(group: Group, outcomes: list[Outcome]) -> str:
    """Return a group's row of the table."""
    cells = [group.name]
    for verdict in VERDICTS:
        names = [_item(outcome) for outcome in outcomes if outcome.verdict == verdict]
        cells.append(f"{len(names)}: {_BETWEEN.join(names)}" if names else "")
    return f"| {' | '.join(cells)} |"


def _item(outcome: Outcome) -> str:
    name = outcome.name.replace("_", r"\_")  # two of them would be read as emphasis
    if outcome.verdict != REFUSED:
        return name
    said = outcome.said.replace("|", "/").replace("`", "'")
    return f"{name}{_WORDS}{said if len(said) <= _LONGEST else said[:_LONGEST] + '…'}`"


def rows_of(text: str, heading: str) -> dict[str, str]:
    """Return the rows below a heading of the generated part, by group."""
    part = re.search(rf"\*\*{heading}[^*]*\*\*\n\n.*\n.*\n((?:\|.*\n)*)", text)
    return {} if part is None else {line.split(" | ")[0].removeprefix("| "): line for line in part[1].splitlines()}


def verdicts(line: str) -> Verdicts:
    """Return what a row says, by entry."""
    _, *cells = line.removesuffix(" |").split(" | ")
    return {
        item.split(_WORDS)[0].replace(r"\_", "_"): verdict
        for verdict, cell in zip(VERDICTS, cells, strict=True)
        if cell.strip()
        for item in cell.split(": ", 1)[1].split(_BETWEEN)
    }


def table(heading: str, rows: list[str]) -> str:
    """Return a heading with its totals, and the rows."""
    each = [verdict for line in rows for verdict in verdicts(line).values()]
    counts = {verdict: each.count(verdict) for verdict in VERDICTS}
    share = 100 * (counts[CARRIED] + counts[REOPENED]) / len(each) if each else 0
    numbers = ", ".join(f"{counts[verdict]} {HEADINGS[verdict].split(',')[0]}" for verdict in VERDICTS)
    titles = " | ".join(["", *(HEADINGS[verdict] for verdict in VERDICTS)])
    head = f"**{heading}: {len(each)} ({numbers}; {share:.1f} % carried)**"
    return "\n".join([head, "", f"| {titles} |", "|---" * 5 + "|", *rows])


def written() -> str:
    """Return the generated part of the document."""
    text = DOCUMENT.read_text()
    return text[text.index(BEGIN) : text.index(END)] if BEGIN in text else ""


def main() -> None:
    """Run the groups named on the command line, or all, and write their rows."""
    arguments = sys.argv[1:]
    details, only = "--details" in arguments, [each for each in arguments if not each.startswith("-")]
    explained = ""
    before = written()
    tables, broken = [], False
    for heading, groups in ((KINDS, kinds()), (IDIOMS, idioms())):
        old = rows_of(before, heading)
        rows = []
        for group in groups:
            if missing := group.missing():
                click.echo(f"{group.name}: skipped, {', '.join(missing)} not installed")
            if missing or (only and group.name not in only):
                rows += [old[group.name]] if group.name in old else []
                continue
            began = time.monotonic()
            try:
                outcomes = run(group)
            except AssertionError as error:
                click.echo(f"{group.name}: {error}")
                rows += [old[group.name]] if group.name in old else []
                broken = True
                continue
            rows.append(row(group, outcomes))
            carried = sum(outcome.verdict in (CARRIED, REOPENED) for outcome in outcomes)
            click.echo(f"{group.name}: {carried} of {len(outcomes)} in {time.monotonic() - began:.0f} s")
            explained += _explained(group, outcomes)
        tables.append(table(heading, rows))
    if details:
        click.echo(explained)
    else:
        DETAILS.parent.mkdir(exist_ok=True)
        DETAILS.write_text(explained)
        text = DOCUMENT.read_text()
        start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        DOCUMENT.write_text("\n\n".join([text[:start], *tables, _versions(), text[end:]]))
    if broken:
        sys.exit(1)


def _explained(group: Group, outcomes: list[Outcome]) -> str:
    """Return what is not carried, with what differs."""
    return "".join(
        f"{group.name}: {outcome.name}: {outcome.verdict} {outcome.said}\n{outcome.detail}\n"
        for outcome in outcomes
        if outcome.verdict in (REFUSED, WRONG)
    )


def _versions() -> str:
    names = sorted({module for group in [*kinds(), *idioms()] for module in group.modules} - {"sklearn", "PIL", "bs4"})
    shown = [f"Python {platform.python_version()}"]
    for name in [*names, "scikit-learn", "pillow", "beautifulsoup4"]:
        try:
            shown.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"With {', '.join(dict.fromkeys(shown))}."


if __name__ == "__main__":
    main()
