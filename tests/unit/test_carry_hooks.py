"""What cells register with the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.carry_cells import Notebook

FRESH_TOO = True


def test_finders_of_the_notebook(nb: Notebook) -> None:
    nb.run(
        "import sys, importlib.machinery\nclass Load:\n    create_module = staticmethod(lambda spec: None)\n"
        "    exec_module = staticmethod(lambda module: setattr(module, 'v', 4))\nclass Find:\n    @staticmethod\n"
        "    def find_spec(name, *_):\n"
        "        return importlib.machinery.ModuleSpec(name, Load) if name == 'synth' else None\n"
        "sys.meta_path.append(Find)\nclass First:\n    find_spec = staticmethod(lambda *_: None)\n"
        "sys.meta_path.insert(0, First)\ndef hook(path): raise ImportError\nsys.path_hooks.append(hook)"
    )
    ran = nb.run(
        "import synth\n"
        "print(synth.v, sys.meta_path[-1] is Find, First in sys.meta_path[:2], sys.path_hooks[-1] is hook)"
    )
    assert ran.printed == "4 True True True\n"
    nb.run("sys.meta_path.remove(Find); sys.meta_path.remove(First); sys.path_hooks.remove(hook)")
    assert nb.show("(Find in sys.meta_path, First in sys.meta_path, hook in sys.path_hooks)") == "(False, False, False)"
    assert nb.run("import colorsys").notices == []


def test_modules_that_cells_have_put_where_imports_look(nb: Notebook) -> None:
    nb.run(
        "import sys, types\nm = types.ModuleType('fake'); m.v = 5; sys.modules['fake'] = m; sys.modules['no'] = None"
    )
    assert nb.run("import fake\nprint(fake.v, fake is m)\nm.v = 6").printed == "5 True\n"
    assert nb.run("from fake import v\nprint(v)").printed == "6\n"
    assert "import of no halted" in nb.attempt("import no").error
    nb.run("del sys.modules['fake'], sys.modules['no']")
    assert nb.show("('fake' in sys.modules, 'no' in sys.modules)") == "(False, False)"


def test_codecs_and_error_handlers(nb: Notebook) -> None:
    nb.run(
        "import codecs\ndef find(name):\n    if name == 'mine':\n"
        "        return codecs.CodecInfo(lambda s, e='': (s.upper().encode(), len(s)), None, name='mine')\n"
        "codecs.register(find); codecs.register_error('q', lambda error: ('?', error.end))"
    )
    nb.run("1")
    assert nb.show("('ab'.encode('mine'), 'aä'.encode('ascii', 'q'), 'ä'.encode('latin-1'))") == (
        "(b'AB', b'a?', b'\\xe4')"
    )


def test_handlers_of_signals_are_the_notebooks_own(nb: Notebook) -> None:
    nb.run("import signal\ndef late(*_): ...\n_ = signal.signal(signal.SIGALRM, late)")
    assert nb.show("signal.getsignal(signal.SIGALRM) is late") == "True"
    nb.run("_ = signal.signal(signal.SIGALRM, signal.SIG_IGN)")
    assert nb.show("int(signal.getsignal(signal.SIGALRM))") == "1"


def test_traces_overloads_and_the_policy_of_asyncio(nb: Notebook) -> None:
    nb.run(
        "import asyncio, threading, typing\ndef trace(*_): return None\nthreading.settrace(trace)\n"
        "class Policy(asyncio.DefaultEventLoopPolicy): ...\nasyncio.set_event_loop_policy(Policy())\n"
        "@typing.overload\ndef f(a: int) -> int: ...\n@typing.overload\ndef f(a: str) -> str: ...\ndef f(a): return a"
    )
    ran = nb.run(
        "print(threading._trace_hook is trace, type(asyncio.get_event_loop_policy()) is Policy)\n"
        "print(len(getattr(typing, 'get_overloads', lambda _: '12')(f)))\nthreading.settrace(None)\n"
        "asyncio.set_event_loop_policy(None)"
    )
    assert ran.printed == "True True\n2\n"
    assert nb.show("(threading._trace_hook, type(asyncio.get_event_loop_policy()) is Policy)") == "(None, False)"


def test_what_cannot_be_registered_again_is_said(nb: Notebook) -> None:
    ran = nb.run("import codecs\nkept = (i for i in 'ab')\ndef find(name, kept=kept): ...\ncodecs.register(find)")
    assert ran.notices == ["codecs.register will not be carried: list holding generator"]
