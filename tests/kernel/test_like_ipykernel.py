"""What requests are answered with is what ipykernel, run beside, answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("1", {}),
    ("2", {"silent": True}),
    ("3", {"store_history": False}),
    ("4", {}),
    ("", {}),
    ("1 / 0", {}),
    ("%nosuchmagic", {}),
    ("x = [1, 2]\nx", {"user_expressions": {"length": "len(x)", "broken": "1 / 0"}}),
    ("print('text', end='')\ndisplay('shown')\n_", {}),
    ("import sys\nprint('err', file=sys.stderr)", {}),
    ("?len", {}),
    ("get_ipython().set_next_input('next')", {}),
    ("", {"user_expressions": {"length": "len(x)"}}),
    ("import os, pickle\nfrom os import system\nrun = {'by': system}", {}),
    ("run['by'] is os.system, pickle.loads(pickle.dumps(os.system)) is os.system, system('true')", {}),
    ("open('squares.py', 'w').write('def sq(x): return x * x')\nimport squares\nimport multiprocessing", {}),
    ("with multiprocessing.get_context('spawn').Pool(1) as pool:\n    print(pool.map(squares.sq, [3]))", {}),
    ("%cd -q /tmp", {}),
    ("%cd -q -", {}),
    ("os.path.exists('squares.py'), len(_dh)", {}),
    ("%run -m squares", {}),
    ("sq(5)", {}),
    ("parent = get_ipython().parent_header\nparent['msg_type'], parent['buffers']", {}),
]


def answers(kernel: str, folder: str) -> list[Any]:
    """Return what a kernel says to each request, without what differs from run to run. folder: for IPython's files."""
    manager = KernelManager(kernel_name=kernel)
    env = {**os.environ, "IPYTHONDIR": folder}  # a history that nobody else writes
    manager.start_kernel(env=env, cwd=folder)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        return [answer(client, code, options) for code, options in REQUESTS]
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
        manager.cleanup_resources()


def answer(client: Any, code: str, options: dict[str, Any]) -> Any:
    outputs: list[tuple[str, Any]] = []

    def keep(message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "execute_input":
            outputs.append((kind, content["execution_count"]))
        elif kind == "stream":
            outputs.append((kind, (content["name"], content["text"])))
        elif kind == "error":
            outputs.append((kind, (content["ename"], content["evalue"])))
        elif kind != "status":
            outputs.append((kind, content.get("data", {}).get("text/plain")))

    reply = client.execute_interactive(code, timeout=60, output_hook=keep, **options)["content"]
    expressions = {
        name: (value["status"], value.get("ename"), value.get("data"))
        for name, value in reply.get("user_expressions", {}).items()
    }
    payload = [(entry["source"], entry.get("text")) for entry in reply.get("payload", [])]
    return code, reply["status"], reply["execution_count"], reply.get("ename"), expressions, payload, outputs


def folder(parent: Path, name: str) -> str:
    made = parent / name
    made.mkdir()
    return str(made)


def test_requests_are_answered_as_by_ipykernel(tmp_path: Path) -> None:
    for ours, theirs in zip(
        *(answers(kernel, folder(tmp_path, kernel)) for kernel in ("cellstack", "python3")), strict=True
    ):
        assert ours == theirs
