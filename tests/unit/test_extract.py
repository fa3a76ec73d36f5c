"""Paths are looked up in the stack of layers, and nowhere else."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from tests.unit.test_diff import Stack

from cellstack_runtime.errors import NotFoundError
from cellstack_runtime.extract import copy_out, find

if TYPE_CHECKING:
    from pathlib import Path


def test_two_dots_name_the_folder_above(tmp_path: Path) -> None:
    stack = Stack(tmp_path, {"d/below/x": "1", "d/x.html": "1"})
    head = stack.cell(None, {"work/in/y": "1", "z": "1"})
    os.symlink("d/below", f"{stack.store.layer_path(head, 'root')}/link")

    def name(path: str) -> str:
        return find(stack.store, stack.image, head, path)[1]

    assert [name(path) for path in ("/d/below/..", "/d/./below/../../d/x.html", "/work/in/../../d")] == [
        "d", "x.html", "d",
    ]  # fmt: skip
    assert [name(path) for path in ("/link/..", "/link/../below/x", "/../d", "/link")] == ["d", "x", "d", "link"]
    for path in ("/d/x.html/..", "/d/x.html/../x.html", "/d/..", "/", "/link/../../.."):
        with pytest.raises(NotFoundError):
            name(path)
    assert copy_out(stack.store, stack.image, head, "/d/below/..", str(tmp_path / "copy")) == 2
    assert sorted(os.listdir(tmp_path / "copy")) == ["below", "x.html"]


def test_a_file_deep_in_folders_is_found_at_once(tmp_path: Path) -> None:
    stack = Stack(tmp_path, {})
    layers = [stack.cell(None, {"x": "1"})]
    for _ in range(2):
        layers.append(stack.cell(layers[-1], {"a/x": "1"}))
        inner = os.open(f"{stack.store.layer_path(layers[-1], 'root')}/a", os.O_RDONLY)
        for _ in range(1700):
            os.mkdir("a", dir_fd=inner)
            outer, inner = inner, os.open("a", os.O_RDONLY, dir_fd=inner)
            os.close(outer)
        os.close(os.open("f", os.O_CREAT, dir_fd=inner))
        os.close(inner)
    start = time.monotonic()
    try:
        assert find(stack.store, stack.image, layers[-1], f"{'/a' * 1701}/f")[1] == "f"
        assert time.monotonic() - start < 5
    finally:
        for layer in layers:
            stack.store.remove_layer(layer)  # pytest cannot
