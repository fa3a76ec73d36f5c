"""Limits: what is accepted, what is refused, and how it reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellstack_runtime.errors import UsageError
from cellstack_runtime.limits import Limits, format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("512m", 512 * 2**20), ("1g", 2**30), ("1.5g", 3 * 2**29), ("64MiB", 64 * 2**20), ("1024", 1024), ("2kb", 2048)],
)
def test_sizes_read_as_in_docker(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["12x", "", "-5m", "m", "1 2m", "nan", "1e3"])
def test_nonsense_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a size.*512m"):
        parse_size(text, what="memory")


@given(st.integers(min_value=0, max_value=2**50))
def test_formatted_sizes_are_close_and_short(size: int) -> None:
    text = format_size(size)
    assert len(text) <= 10
    number, unit = text.split()
    factor = 1024 ** ["B", "KiB", "MiB", "GiB", "TiB"].index(unit)
    assert float(number) * factor == pytest.approx(size, rel=0.06, abs=1)


def test_updated_changes_only_what_is_named() -> None:
    limits = Limits(memory="256m", pids=10).updated({"cpus": "1.5", "timeout": "none"})
    assert limits == Limits(memory=256 * 2**20, cpus=1.5, pids=10, timeout=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memroy": "1g"}, "unknown limit 'memroy'.*memory, cpus, pids, timeout, network"),
        ({"memory": "1m"}, "below the minimum of 6 MiB"),
        ({"cpus": "-1"}, "not a positive number"),
        ({"pids": "1.5"}, "not a whole number"),
        ({"timeout": "soon"}, "not a positive number"),
        ({"network": "wifi"}, "Networks are: none, bridge, host"),
    ],
)
def test_nonsense_limits_say_what_is_accepted(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Limits().updated(options)
