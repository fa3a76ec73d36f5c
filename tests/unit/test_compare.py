"""Comparing outputs: what is made the same before, what is told apart, what varies and what differs."""

from __future__ import annotations

from typing import Any

import pytest

from cellstack_kernel.compare import cells_of, compare_cells, normalize

COPY = "/tmp/cellstack-compare-ab12cd34/project"
PATHS = [(COPY, "/work"), ("/home/me/.venv", "/opt/venv")]


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def result(plain: str, count: int = 1, *, others: Any = ()) -> dict[str, Any]:
    data = {"text/plain": plain, **dict(others)}
    return {"output_type": "execute_result", "execution_count": count, "data": data, "metadata": {}}


def error(evalue: str, ename: str = "ValueError", traceback: str = "") -> dict[str, Any]:
    return {"output_type": "error", "ename": ename, "evalue": evalue, "traceback": [traceback]}


def code(*outputs: dict[str, Any], source: str = "x", count: int | None = 1, tags: tuple[str, ...] = ()) -> Any:
    metadata = {"tags": list(tags)}
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": outputs, "execution_count": count}


def cells(*found: Any, paths: Any = ()) -> Any:
    return cells_of({"cells": found}, paths)


def differing(one: Any, other: Any) -> list[str]:
    """Return what differs between two cells."""
    return [f"{found.what} {found.stream}".rstrip() for found in compare_cells(cells(one), cells(other)).differences]


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("<object at 0x7f3c5e0a1b20>", "<object at 0x7f99aa0a1b20>"),
        ("<function f at 0x55d0c0de1234>", "<function f at 0x7f99aa0a1b20>"),
        ("(0x7f3c5e0a1b20)", "(0x7f3c5e0a1b30)"),
        ("<ipython-input-3-0a1b2c3d4e5f>", "/tmp/ipykernel_1/2871632.py"),
        ("/tmp/ipykernel_4711/123.py:1: Warning", "/tmp/ipykernel_1/123.py:1: Warning"),
        ("/tmp/tmpab12_x9z/file", "/tmp/tmpqqqqqqqq/file"),
        ("CPU times: user 2 µs, sys: 1 µs\nWall time: 5 µs\n", "CPU times: user 1 s, sys: 0 ns\nWall time: 9 ms\n"),
        (
            "1.2 µs ± 3 ns per loop (mean ± std. dev. of 7 runs, 1,000,000 loops each)",
            "801 ns ± 9 ns per loop (mean ± std. dev. of 7 runs, 100,000 loops each)",
        ),
        ("took 1.23 s", "took 0.9 s"),
        ("took 1.5ms", "took 10.25ms"),
        ("took 1.2e-05 seconds", "took 3.1e-06 seconds"),
    ],
)
def test_what_differs_from_run_to_run_is_made_the_same(text: str, other: str) -> None:
    assert normalize(text) == normalize(other)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("0xff", "0xfe"),
        ("0x7fffffff", "0x7ffffffe"),
        ("at 0x10", "at 0x11"),
        ("<A object at 0x7f3c5e0a1b20>", "<B object at 0x7f3c5e0a1b20>"),
        ("sleeps for 5 s", "sleeps for 6 s"),
        ("1.5", "1.6"),
        ("1.5 songs", "1.6 songs"),
        ("/tmp/tmp", "/tmp/tmpfile"),
        ("/tmp/data/a", "/tmp/data/b"),
        ("/tmp/ipykernel_1/1.py:1", "/tmp/ipykernel_1/1.py:2"),
        ("CPU times: 3", "GPU times: 3"),
        ("text", "text "),
        ("/work/a", "/works/a"),
        ("\x1b[31mred\x1b[0m", "red"),
    ],
)
def test_what_means_something_is_told_apart(text: str, other: str) -> None:
    assert normalize(text) != normalize(other)


def test_folder_of_the_notebook_is_work() -> None:
    assert normalize(f"{COPY}\n{COPY}/a.txt '{COPY}'", PATHS) == "/work\n/work/a.txt '/work'"
    assert normalize(f"{COPY}2 /more{COPY}/a", PATHS) == f"{COPY}2 /more{COPY}/a"


def test_the_environment_is_where_the_image_has_it() -> None:
    text = "{}/lib/python3.11/site-packages/pandas/core/frame.py:1: Warning"
    assert normalize(text.format("/home/me/.venv"), PATHS) == text.format("/opt/venv")
    assert normalize(text.format("/home/me/.venv2"), PATHS) == text.format("/home/me/.venv2")


def test_streams_are_joined_by_name() -> None:
    one = code(stream("a"), stream("x", "stderr"), stream("b"))
    assert differing(one, code(stream("ab"), stream("x", "stderr"))) == []
    assert differing(one, code(stream("ba"), stream("x", "stderr"))) == ["stream stdout"]
    assert differing(one, code(stream("ab"))) == ["stream stderr"]
    assert differing(one, code(stream("abx"))) == ["stream stdout", "stream stderr"]


def test_a_text_that_a_flush_has_cut_is_normalized_as_a_whole() -> None:
    assert differing(code(stream("at 0x7f3c5e"), stream("0a1b20\n")), code(stream("at 0x7f00000a1b20\n"))) == []


@pytest.mark.parametrize(
    "other",
    [
        code(result("{'b': 1, 'a': 2}")),
        code(result("{'a': 2, 'b': 1}", count=2)),
        code(result("{'a': 2, 'b': 1}", others={"text/html": "<b>"})),
        code(result("{'a': 2, 'b': 1}"), result("{'a': 2, 'b': 1}")),
        code({**result("{'a': 2, 'b': 1}"), "output_type": "display_data"}),
        code(),
    ],
)
def test_results_are_told_apart(other: Any) -> None:
    assert differing(code(result("{'a': 2, 'b': 1}")), other) == ["data"]


def test_order_of_displays_counts_and_order_of_mime_types_does_not() -> None:
    assert differing(code(result("1"), result("2")), code(result("2"), result("1"))) == ["data"]
    one = {**result(""), "data": {"text/plain": "f", "image/png": "A"}}
    assert differing(code(one), code({**result(""), "data": {"image/png": "B", "text/plain": "f"}})) == []


def test_errors_are_compared_by_name_and_value() -> None:
    assert differing(code(error("no", traceback="a")), code(error("no", traceback="b"))) == []
    assert differing(code(error("no")), code(error("yes"))) == ["error"]
    assert differing(code(error("no")), code(error("no", "TypeError"))) == ["error"]
    assert differing(code(error("no")), code()) == ["error"]
    assert differing(code(error("/tmp/ipykernel_7/5.py")), code(error("<ipython-input-1-0ab>"))) == []


def test_execution_counts_are_compared() -> None:
    assert differing(code(count=1), code(count=2)) == ["execution_count"]
    assert differing(code(count=1), code(count=None)) == ["execution_count"]


def test_cells_that_are_not_run_do_not_count() -> None:
    markdown = {"cell_type": "markdown", "source": "# Title", "metadata": {}}
    found = cells(markdown, code(source=" \n"), code(tags=("skip-execution",)), code(source="y", count=4))
    assert [(cell.index, cell.execution_count) for cell in found] == [(3, 4)]


def test_what_is_not_the_same_twice_varies() -> None:
    first = cells(code(stream("0.1")), code(stream("a")), code(result("1")))
    got = cells(code(stream("0.2")), code(stream("b")), code(result("1")))
    again = cells(code(stream("0.3")), code(stream("a")), code(result("2")))
    found = compare_cells(first, got, again)
    assert (found.cells, found.same, found.varies, found.differs) == (3, 1, 1, 1)
    assert [difference.as_json() for difference in found.differences] == [
        {"index": 1, "execution_count": 1, "what": "stream", "name": "stdout", "expected": "a", "got": "b"}
    ]


def test_a_text_that_varies_does_not_hide_another_that_differs() -> None:
    first = cells(code(stream("0.1"), error("no")))
    found = compare_cells(first, cells(code(stream("0.2"))), cells(code(stream("0.3"), error("no"))))
    assert (found.same, found.varies, found.differs) == (0, 0, 1)
    assert [(difference.what, difference.expected, difference.got) for difference in found.differences] == [
        ("error", "ValueError: no\n", "")
    ]


def test_the_copy_under_ipykernel_is_work_under_cellstack() -> None:
    expected = cells(code(result(f"'{COPY}'")), paths=PATHS)
    assert compare_cells(expected, cells(code(result("'/work'")))).same == 1
    assert compare_cells(expected, cells(code(result("'/root'")))).differs == 1
