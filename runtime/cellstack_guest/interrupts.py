"""For whom an interrupt is: the request that is looked at, the next one, or nobody."""

from __future__ import annotations

import signal


def hold() -> None:
    """Have an interrupt wait that comes before a request is looked at: it is for that one."""
    if not are_held():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once only: this drops those that wait
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def are_held() -> bool:
    """Tell whether `hold` holds."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def ignore() -> None:
    """Have interrupts that come from now on do nothing."""
    while True:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        except KeyboardInterrupt:  # one that was already on its way
            continue
        return
