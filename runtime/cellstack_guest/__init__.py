"""What runs inside a container.

A cell may replace what is built in, as by `builtins.open = …`. That is for the cell's code and not for this package,
which would save nothing, or print what it opens among the cell's own text: its modules have builtins of their own.
"""

import builtins
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

_BUILTINS = dict(vars(builtins))


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = _BUILTINS  # where functions that are defined from here on look names up
        super().exec_module(module)


class _Finder:
    @staticmethod
    def find_spec(name: str, path: object, _target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(f"{__name__}."):
            return None
        spec = PathFinder.find_spec(name, path)  # type: ignore[arg-type]
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, _Finder)
