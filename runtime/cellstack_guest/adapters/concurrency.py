"""Executors and pools that are at rest, queues, futures, contexts, selectors: made anew, with what they held."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import importlib
import sys
import types
from typing import TYPE_CHECKING, Any, cast

from cellstack_guest.reducers import module_attribute, refuse
from cellstack_guest.settings import Setting, module

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures
    import multiprocessing.pool
    import queue
    import selectors

_PATIENCE = 1.0  # seconds that a worker may take from giving its result to waiting for more
_first_tokens: dict[contextvars.ContextVar[Any], contextvars.Token[Any]] = {}
_UNSET = contextvars.Token.MISSING
_HELPERS = "IPython.core.async_helpers"
_LOOP = (False, 0.1)  # of a fresh loop: whether it is debugged, and after how long it tells of a callback


def reduce_threads(executor: concurrent.futures.ThreadPoolExecutor) -> Any:
    """Return the reduction of an executor with threads that have nothing to do."""
    inner: Any = executor
    if not hasattr(inner, "_initializer") or not _is_idle(inner):
        return refuse(executor, "that is at work")
    arguments = (inner._max_workers, inner._thread_name_prefix, inner._initializer, inner._initargs)  # noqa: SLF001
    return (make_executor, (type(executor), arguments, inner._shutdown))  # noqa: SLF001


def _is_idle(executor: Any) -> bool:
    """Tell whether all threads of an executor wait; each raises the semaphore when it begins to."""
    if not executor._work_queue.empty():  # noqa: SLF001
        return bool(executor._shutdown and not any(thread.is_alive() for thread in executor._threads))  # noqa: SLF001
    semaphore, raised = executor._idle_semaphore, 0  # noqa: SLF001
    for thread in executor._threads:  # noqa: SLF001
        raised += semaphore.acquire(timeout=_PATIENCE) if thread.is_alive() else 1
    for _ in range(raised):
        semaphore.release()
    return raised == len(executor._threads)  # noqa: SLF001


def reduce_processes(executor: concurrent.futures.ProcessPoolExecutor) -> Any:
    """Return the reduction of an executor with processes that have nothing to do."""
    inner: Any = executor
    if inner._pending_work_items:  # noqa: SLF001
        return refuse(executor, "that is at work")
    arguments = (inner._max_workers, inner._mp_context, inner._initializer, inner._initargs)  # noqa: SLF001
    return (make_executor, (type(executor), arguments, inner._shutdown_thread))  # noqa: SLF001


def make_executor(kind: Any, arguments: tuple[Any, ...], ended: bool) -> Any:
    """Return an executor."""
    executor = kind(*arguments)
    if ended:
        executor.shutdown()
    return executor


def reduce_pool(pool: multiprocessing.pool.Pool) -> Any:
    """Return the reduction of a pool of processes, or of threads, that have nothing to do."""
    inner: Any = pool
    if inner._cache:  # noqa: SLF001
        return refuse(pool, "that is at work")
    if inner._state != "RUN":  # noqa: SLF001
        return (ended_pool, (type(pool), {name: vars(pool)[name] for name in ("_state", "_processes", "_ctx")}))
    return (make_pool, (type(pool), inner._ctx, inner._processes, inner._initializer, inner._initargs))  # noqa: SLF001


def make_pool(kind: Any, context: Any, processes: int, initializer: Any, arguments: Any) -> Any:
    """Return a pool."""
    pools = importlib.import_module("multiprocessing.pool")
    if issubclass(kind, pools.ThreadPool):
        return kind(processes, initializer, arguments)
    return kind(processes, initializer, arguments, context=context)


class _Ended:
    """Stands for what has ended in a pool."""

    def __call__(self) -> None:
        """End it again."""

    def join(self) -> None:
        """Wait for its end."""


def ended_pool(kind: Any, attributes: dict[str, Any]) -> Any:
    """Return a pool that was closed, or terminated, as by `with`: without a process, and without having had any."""
    pool = kind.__new__(kind)
    handlers = dict.fromkeys(("_terminate", "_worker_handler", "_task_handler", "_result_handler"), _Ended())
    vars(pool).update(attributes, _pool=[], _cache={}, **handlers)
    return pool


def reduce_start_context(context: Any) -> Any:
    """Return the reduction of what `multiprocessing.get_context` gives: the one of that name."""
    if context is module("multiprocessing.context")._default_context:  # noqa: SLF001
        return (module_attribute, ("multiprocessing.context", "_default_context"))
    return (start_context, (context.get_start_method(),))


def start_context(method: str) -> Any:
    """Return the context of a start method."""
    return importlib.import_module("multiprocessing").get_context(method)


def reduce_queue(waiting: queue.SimpleQueue[Any]) -> Any:
    """Return the reduction of a queue with what waits in it."""
    items: list[Any] = []
    with contextlib.suppress(module("_queue").Empty):
        while True:
            items.append(waiting.get_nowait())
    fill_queue(waiting, items)
    return (type(waiting), (), items, None, None, fill_queue)


def fill_queue(waiting: queue.SimpleQueue[Any], items: list[Any]) -> None:
    """Put items into a queue."""
    for item in items:
        waiting.put(item)


def reduce_loop(loop: asyncio.AbstractEventLoop) -> Any:
    """Return the reduction of the event loop that cells run on: that of the process."""
    return (the_loop, ()) if loop is the_loop() else refuse(loop)


def the_loop() -> Any:
    """Return the event loop that cells run on."""
    return module("cellstack_guest.leftovers").event_loop()


def reduce_future(future: asyncio.Future[Any]) -> Any:
    """Return the reduction of a future of asyncio that no one waits for but tasks: they are told to have ended."""
    tasks, inner = module("asyncio"), cast("Any", future)
    waiting = [getattr(callback, "__self__", None) for callback, _ in inner._callbacks or ()]  # noqa: SLF001
    if type(future) is not tasks.Future or not all(isinstance(each, tasks.Task) for each in waiting):
        return refuse(future)
    if not future.done() or future.cancelled():
        return (make_future, (future.cancelled(),))
    error = future.exception()
    return (make_future, (False,), (error, None if error else future.result()), None, None, set_future)


def make_future(cancelled: bool) -> Any:
    """Return a future of the loop that cells run on."""
    future = the_loop().create_future()
    if cancelled:
        future.cancel()
    return future


def set_future(future: asyncio.Future[Any], outcome: tuple[BaseException | None, Any]) -> None:
    """Give a future its result or its exception."""
    error, result = outcome
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
        future.exception()  # it has been looked at


def _read_loop() -> tuple[bool, float]:
    loop = module(_HELPERS)._asyncio_event_loop  # noqa: SLF001 - asking for it would make one
    return _LOOP if loop is None else (loop.get_debug(), loop.slow_callback_duration)


def _write_loop(values: tuple[bool, float]) -> None:
    loop = the_loop()
    loop.set_debug(values[0])
    loop.slow_callback_duration = values[1]


def reduce_selector(selector: selectors.BaseSelector) -> Any:
    """Return the reduction of a selector that watches nothing."""
    return refuse(selector) if selector.get_map() is None or len(selector.get_map()) else (type(selector), ())


# Context variables


def reduce_variable(variable: contextvars.ContextVar[Any]) -> Any:
    """Return the reduction of a context variable: that of a module, or one with its default and its value."""
    for name, found in list(sys.modules.items()):
        if type(found) is types.ModuleType and found.__name__ != "__main__":
            for attribute, value in list(vars(found).items()):
                if value is variable:
                    return (module_attribute, (name, attribute))
    _, *default = gc.get_referents(variable)
    value = contextvars.copy_context().get(variable, _UNSET)
    is_set = () if value is _UNSET and variable not in contextvars.copy_context() else (value,)
    return (make_variable, (variable.name, *default), is_set, None, None, set_variable)


def make_variable(name: str, *default: Any) -> contextvars.ContextVar[Any]:
    """Return a new context variable."""
    return contextvars.ContextVar(name, default=default[0]) if default else contextvars.ContextVar(name)


def set_variable(variable: contextvars.ContextVar[Any], value: tuple[Any, ...]) -> None:
    """Set a context variable, if there is a value."""
    for each in value:
        _first_tokens[variable] = variable.set(each)


def reduce_token(token: contextvars.Token[Any]) -> Any:
    """Return the reduction of a token that a context variable can still be reset with."""
    if " used " in repr(token):
        return refuse(token, "that was used")
    old = () if token.old_value is _UNSET else (token.old_value,)
    return (make_token, (token.var, *old))


def make_token(variable: contextvars.ContextVar[Any], *old: Any) -> contextvars.Token[Any]:
    """Return a token with which a variable is reset to an old value, or to none."""
    if not old:
        return _first_tokens[variable]
    value = variable.get()
    variable.set(*old)
    return variable.set(value)


def reduce_context(context: contextvars.Context) -> Any:
    """Return the reduction of a context: what cells have set in it, and modules' own variables."""
    return (contextvars.Context, (), dict(context.items()), None, None, set_context)


def set_context(context: contextvars.Context, values: dict[contextvars.ContextVar[Any], Any]) -> None:
    """Set variables in a context."""
    for variable, value in values.items():
        context.run(variable.set, value)


SETTINGS = (Setting("event loop", _HELPERS, _read_loop, _write_loop),)
HANDLERS = {
    ("concurrent.futures.thread", "ThreadPoolExecutor"): reduce_threads,
    ("concurrent.futures.process", "ProcessPoolExecutor"): reduce_processes,
    ("multiprocessing.pool", "Pool"): reduce_pool,
    ("multiprocessing.context", "BaseContext"): reduce_start_context,
    ("_queue", "SimpleQueue"): reduce_queue,
    ("_asyncio", "Future"): reduce_future,
    ("asyncio.events", "AbstractEventLoop"): reduce_loop,
    ("asyncio.events", "Handle"): refuse,  # what it calls is the work of a loop that is gone
    ("selectors", "_BaseSelectorImpl"): reduce_selector,
    ("_contextvars", "ContextVar"): reduce_variable,
    ("_contextvars", "Token"): reduce_token,
    ("_contextvars", "Context"): reduce_context,
}
