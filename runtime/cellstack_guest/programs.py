"""Programs that a cell starts for the person: `%%sh` cells and `!command` lines."""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

GRACE_SECONDS = 1.0
MAX_ARGUMENT = 100_000  # bytes; the kernel takes 128 KiB for one argument
ROWS, COLUMNS = 24, 80
CHUNK = 2**16
# A signal that comes right before a system call does not interrupt it; Python sees it when the call returns.
POLL_MILLISECONDS = 200


def shell_program() -> str:
    """Return the image's shell: $SHELL where it names a program, else /bin/sh."""
    shell = os.environ.get("SHELL", "")
    return shell if os.path.isabs(shell) and os.access(shell, os.X_OK) else "/bin/sh"


def run_script(code: str) -> int:
    """Run `code` with the image's shell on descriptors 1 and 2; return its status, negative for a signal.

    KeyboardInterrupt reaches the shell and everything it started, then the caller.
    """
    shell = shell_program()
    text = code.encode("utf-8", "surrogateescape")
    if len(text) <= MAX_ARGUMENT:
        return _wait(_start([shell, "-c", code], process_group=0))
    script = os.memfd_create("script", 0)
    try:
        with open(os.dup(script), "wb") as file:
            file.write(text)
        process = _start([shell, f"/dev/fd/{script}"], process_group=0, pass_fds=(script,))
    finally:
        os.close(script)
    return _wait(process)


def run_on_terminal(command: str, show: Callable[[str], object]) -> int:
    """Run `command` on a terminal of its own, as people expect of `!command`; give its output to `show`.

    Returns its status, negative for a signal. A container without terminals gives it a pipe instead.
    KeyboardInterrupt ends the command and everything it started, and no more: the caller goes on, as in IPython.
    """
    reader, writer = _terminal()
    try:
        process = _start([shell_program(), "-c", command], stdout=writer, stderr=writer, start_new_session=True)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    try:
        return _show_output(process, reader, show)
    finally:
        os.close(reader)


@contextlib.contextmanager
def sharing_interrupts() -> Iterator[None]:
    """Have an interrupt reach the programs of this process' group as well, as it does those of other kernels."""
    before = signal.signal(signal.SIGINT, _interrupt_group)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt_group(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # this process has it already
    os.killpg(0, signal.SIGINT)
    signal.signal(signal.SIGINT, _interrupt_group)
    raise KeyboardInterrupt


def _terminal() -> tuple[int, int]:
    try:
        reader, writer = os.openpty()
    except OSError:
        return os.pipe()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    return reader, writer


def _start(arguments: list[str], **options: object) -> subprocess.Popen[bytes]:
    """Start a program; an interrupt that comes meanwhile ends it, too."""
    interrupted: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, lambda number, _: interrupted.append(number)) if is_main else None
    try:
        process: subprocess.Popen[bytes] = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)
    if interrupted:
        _interrupt(process)
        raise KeyboardInterrupt
    return process


def _show_output(process: subprocess.Popen[bytes], reader: int, show: Callable[[str], object]) -> int:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    os.set_blocking(reader, False)
    died = os.pidfd_open(process.pid)
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    poll.register(died, select.POLLIN)
    try:
        # What is still open after the command's death belongs to a background process, which nobody waits for.
        while not any(fd == died for fd, _ in poll.poll(POLL_MILLISECONDS)):
            if not _show_available(reader, decoder, show):
                break
        _show_available(reader, decoder, show)
        status = process.wait()
    except KeyboardInterrupt:
        show("^C\r\n")  # what a terminal says to the key
        _interrupt(process)
        _show_available(reader, decoder, show)
        status = process.wait()
    finally:
        os.close(died)
    return status if status <= 128 else 128 - status


def _show_available(reader: int, decoder: codecs.IncrementalDecoder, show: Callable[[str], object]) -> bool:
    """Show what can be read now; return False once there will be no more."""
    while True:
        try:
            data = os.read(reader, CHUNK)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.EIO:  # what a terminal says when its other side is closed
                raise
            return False
        if not data:
            return False
        show(decoder.decode(data))


def _wait(process: subprocess.Popen[bytes]) -> int:
    died = os.pidfd_open(process.pid)
    poll = select.poll()
    poll.register(died, select.POLLIN)
    try:
        while not poll.poll(POLL_MILLISECONDS):
            pass
        return process.wait()
    except KeyboardInterrupt:
        _interrupt(process)
        raise
    finally:
        os.close(died)


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
            return
