"""Files through which the kernel takes orders, in /proc and /sys: one write each, without a buffer between."""

from __future__ import annotations

import os

MAX_BYTES = 1 << 16


def read(path: str) -> str:
    """Return what a control file says."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, MAX_BYTES).decode()
    finally:
        os.close(fd)


def write(path: str, value: str) -> None:
    """Write one value to a control file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
