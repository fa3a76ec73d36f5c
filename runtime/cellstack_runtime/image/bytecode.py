"""Bytecode for what an image imports."""

from __future__ import annotations

import os
import subprocess
import sys

_COMPILERS = 4


def compile_missing(root: str) -> None:
    """Make the bytecode that modules below directory `root` lack, named as if `root` were "/".

    Else each fresh container compiles what it imports, and keeps it in its layer.
    """
    tag = sys.implementation.cache_tag
    missing = []
    for folder, folders, names in os.walk(root):
        if folder.endswith("/bin"):
            continue
        modules = [name for name in names if name.endswith(".py")]
        if modules:
            known = set(os.listdir(f"{folder}/__pycache__")) if "__pycache__" in folders else set()
            missing += [f"{folder}/{name}" for name in modules if f"{name[:-3]}.{tag}.pyc" not in known]
    workers = min(_COMPILERS, os.cpu_count() or 1, 1 + len(missing) // 50)
    command = [sys.executable, "-I", "-W", "ignore", "-m", "compileall", "-qq", "--invalidation-mode", "timestamp"]
    command += ["-s", root, "-p", "/", "-i", "-"]
    running = []
    for number in range(workers if missing else 0):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, errors="surrogateescape")
        running.append((process, "\n".join(missing[number::workers])))
    for process, listing in running:
        # What does not compile (a template, a test of the parser) has no bytecode on the host either.
        process.communicate(listing)
