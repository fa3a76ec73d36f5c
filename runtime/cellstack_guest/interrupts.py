"""For whom an interrupt is: the request that is looked at, the next one, or nobody."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def hold() -> None:
    """Have an interrupt wait that comes before a request is looked at: it is for that one."""
    if not are_held():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once only: this drops those that wait
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def are_held() -> bool:
    """Tell whether `hold` holds."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@contextlib.contextmanager
def left_to_main() -> Iterator[None]:
    """Have no signal be for threads that are started meanwhile.

    Linux gives a signal to any thread that is awake. Python's handlers run in the main thread, which may wait for a
    lock then: only a signal of its own ends that. A thread could block them itself only once it has the interpreter.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """Have interrupts that come from now on do nothing."""
    while True:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        except KeyboardInterrupt:  # one that was already on its way
            continue
        return
