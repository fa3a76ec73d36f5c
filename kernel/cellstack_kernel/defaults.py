"""Limits of a notebook's cells where nobody has said otherwise."""

from __future__ import annotations

import os

from cellstack_runtime.limits import Limits

MEMORY_SHARE = 0.8
PIDS = 1024


def default_limits() -> Limits:
    """Return 80 % of the host's memory, so that a cell dies before the kernel does, and 1,024 processes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Limits(memory=int(total * MEMORY_SHARE) // 2**20 * 2**20, pids=PIDS)
