"""Saving takes no more time and disk than it may, an interrupt ends it, and it is said when it was long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cellstack_guest import budget, manifest

if TYPE_CHECKING:
    from tests.carry_cells import Notebook

SLOW = "import time\nclass Slow:\n    def __reduce__(self):\n        time.sleep(0.05)\n        return (Slow, ())\n"
ENDLESS = "class Endless:\n    def __reduce__(self):\n        while True: pass\n"
INTERRUPT = "import os, signal, threading\nthreading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()\n"


@pytest.fixture
def nb(nb: Notebook, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    monkeypatch.setattr(budget, "PATIENCE", 0.1)
    return nb


def test_what_takes_too_long_is_left_out(nb: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SECONDS", 0.5)
    ran = nb.run(f"{SLOW}before = 1\nslow = [Slow() for _ in range(1000)]\nafter = [2]")
    assert ran.not_carried == {"slow": "the time for saving is over"}
    assert not ran.complete
    assert nb.show("(before, after)") == "(1, [2])"


def test_an_interrupt_leaves_out_what_is_being_saved(nb: Notebook) -> None:
    ran = nb.run(f"{ENDLESS}{INTERRUPT}before = 1\nendless = Endless()\nafter = [2]")
    assert ran.not_carried == {"endless": "saving it was interrupted"}
    assert not ran.complete
    assert nb.show("(before, after)") == "(1, [2])"


def test_what_does_not_fit_on_the_disk_is_left_out(nb: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest.LayerWriter, "free", 8 * 2**20)
    ran = nb.run("before = [1]\nlarge = bytes(5 * 2**20)\nsmall = bytes(3 * 2**20)\nafter = [2]")
    why = "it takes 5.0 MiB on disk; a cell's variables may take half of what is free, of which 4.0 MiB are left"
    assert ran.not_carried == {"large": f"{why}. cellstack prune makes room"}
    assert not ran.complete
    assert nb.show("(before, len(small), after)") == "([1], 3145728, [2])"


def test_a_page_that_was_written_to_needs_no_more_disk_than_that(nb: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    nb.run("import numpy as np\nlarge = np.zeros(2**20)")
    monkeypatch.setattr(manifest.LayerWriter, "free", 2**20)
    assert nb.run("large[0] = 1").not_carried == {}
    assert nb.run("larger = large + 1").not_carried.keys() == {"larger"}
    assert nb.show("large[:2].tolist()") == "[1.0, 0.0]"


def test_what_can_never_be_carried_is_left_out_for_want_of_nothing(nb: Notebook) -> None:
    ran = nb.run("never = (each for each in [1])\nclass Never: x = never")
    assert ran.not_carried.keys() == {"never", "Never"}
    assert ran.complete


def test_it_is_said_when_saving_was_long(nb: Notebook) -> None:
    ran = nb.run(f"{SLOW}slow = [Slow() for _ in range(5)]\ntext = 'x' * 3 * 2**20")
    assert ran.notices == ["saving the variables took 0 s of at most 120 s; the largest is text (3.0 MiB)"]
    assert nb.run("text = text[:10]").notices == []
