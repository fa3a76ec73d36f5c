"""Programs of ours in a Python of their own, which has the standard library and this package, and starts in 10 ms."""

from __future__ import annotations

import sys
from pathlib import Path

import cellstack_guest

_BOOTSTRAP = "import sys; sys.path[:0] = sys.argv[2:]; sys.argv[2:] = []; "


def command(program: str, argument: str = "") -> list[str]:
    """Return the command that runs `program`, code of one line that finds `argument` in sys.argv[1]."""
    paths = {str(Path(package).parent.parent) for package in (__file__, cellstack_guest.__file__ or __file__)}
    return [sys.executable, "-I", "-S", "-B", "-c", _BOOTSTRAP + program, argument, *sorted(paths)]
