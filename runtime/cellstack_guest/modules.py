"""What cells do to modules: what earlier ones have changed is put back, what this one changes is noticed.

Modules may be there when the cell begins, may be imported by its statements, or by what these call; each time the
changes of earlier cells come first, and what the module holds then is what later changes are told from.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import itertools
import sys
from typing import TYPE_CHECKING, Any

from cellstack_guest import adapters, companions, exclusions, hooks, names, patches, settings
from cellstack_guest.adapters import warned
from cellstack_guest.ambient import LateFinder
from cellstack_guest.baseline import is_as_applied, is_delta, is_taken_over, merged
from cellstack_guest.imports import OuterImports, is_in_import

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cellstack_guest.ambient import Ambient
    from cellstack_guest.baseline import Baseline, Put

# In `extra`:
IMPORTS = "imports"  # dotted names of modules that cells have imported
COMPANIONS = "companions"  # pairs of a package, and a module whose import has changed what is in it
FOLDERS = "folders"  # where modules of the person's own were found
STAMPS = "stamps"  # pairs of such a module, and what tells its file
FEW = 30  # modules that are looked at before a process is made that looks at them
_CALL = ast.parse("callback()").body[0]


class Modules:
    """The modules of one process.

    extra: what is carried along with the variables. notices: collects what cannot be watched. put_back: loads and
    applies what is saved under a key. applied: returns the changes that are in force, by key. quiet: makes a context in
    which nothing is shown.
    """

    def __init__(
        self,
        extra: dict[str, Any],
        notices: list[str],
        baseline: Baseline | None,
        ambient: Ambient,
        put_back: Callable[[str], None],
        applied: Callable[[], dict[str, Any]],
        drop: Callable[[str], None],
    ) -> None:
        self.quiet: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        self.words: frozenset[str] = frozenset()  # of the code of the cell
        self._extra = extra
        self._notices = notices
        self._baseline = baseline
        self._ambient = ambient
        self._put_back_key = put_back
        self._applied = applied
        self._drop = drop
        self._acts = self._has_acted = self._loads = self._imports_by_text = False
        self._has_imported = True  # what is loaded imports, too
        self._imports: set[str] = set()
        self._targets: set[tuple[str, bool]] = set()
        hooks.start()
        self._noted = len(sys.modules)
        self._pending: dict[str, list[str]] = {}  # what is put back into a module when it is imported
        self._finder = LateFinder(lambda module, _: self._put_back(module, in_import=True))
        self._deferred: list[str] = []  # changes of modules that are put back when no import is under way any more
        self._due: list[str] = []  # modules to import then
        self._put: list[Put] = []  # what this cell had changed before its last import
        self._outer = OuterImports(lambda name: self._before_import([name]), self._after_import)
        self._registrations = companions.Registrations()

    @property
    def baseline(self) -> Baseline | None:
        """What modules held before this cell's code ran, where anybody is going to ask for it."""
        return self._baseline if self._acts else None

    def begin(self) -> None:
        """Forget the code of a cell before."""
        self._acts = self._has_acted = self._imports_by_text = False
        self.words = frozenset()

    def go_on(self, code: str, reach: names.Reach) -> None:
        """Take down what more code, that runs in this process after what began, does by its text."""
        self.words |= frozenset(names.words(code))
        self._imports.update(reach.imports)
        self._targets.update(reach.targets)
        self._acts = self._acts or reach.acts
        self._has_imported = True
        self._outer.is_wanted = False

    # Putting back

    @contextlib.contextmanager
    def folders(self) -> Iterator[None]:
        """Find modules of the person's own where they were found before, wherever the working directory is now."""
        added = [folder for folder in (*self._extra.get(FOLDERS, ()), patches.FOLDER) if folder not in sys.path]
        sys.path += added
        try:
            yield
        finally:
            sys.path[:] = [folder for folder in sys.path if folder not in added]

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Load variables; what their loading imports has what is registered with it put back afterwards."""
        self._loads = True
        try:
            with self.folders():
                yield
        finally:
            self._loads = False

    def wait_for(self, keys: Iterable[str]) -> None:
        """Put back what is saved under keys: now where the module is there, else when it is imported."""
        self._pending = {}
        for key in keys:
            if patches.is_patch(key):
                self._pending.setdefault(patches.module_of(key), []).append(key)
        for package, _ in self._extra.get(COMPANIONS, ()):
            self._pending.setdefault(package, [])
        self._finder.watch(self._pending.keys() - sys.modules.keys(), self._notices)
        while ready := [module for module in self._pending if module in sys.modules]:  # loading one imports others
            for module in ready:  # before anything is put back: an import may set what a later cell has changed
                self._expect_companions(module)
            self._import_due()
            for module in ready:
                self._put_back(module)
            self.put_back_deferred()

    def _put_back(self, module: str, *, in_import: bool = False) -> None:
        self._expect_companions(module)
        if not in_import:
            self._import_due()
        keys = self._pending.pop(module, [])
        if self._is_edited(module):
            for key in filter(is_delta, keys):  # before any is put back: those that share objects are loaded together
                self._drop(key)
            keys = [key for key in keys if not is_delta(key)]
        is_inner = in_import and is_in_import(besides=module)
        if in_import and not is_inner:
            keys = [key for key in self._deferred if patches.is_data(key)] + keys
            self._deferred = [key for key in self._deferred if key not in keys]
        for key in keys:
            # Its values may be of modules that are not complete yet, or need the variable whose loading imports.
            if in_import and (is_inner or is_delta(key) or (self._loads and hooks.is_hook(key))):
                self._deferred.append(key)
            else:
                self._put_back_key(key)

    def _expect_companions(self, module: str) -> None:
        self._due += [name for package, name in self._extra.get(COMPANIONS, ()) if package == module]

    def _is_edited(self, module: str) -> bool:
        """Tell whether the file of a module of the person's own is another than the one that cells have changed."""
        known, found = dict(self._extra.get(STAMPS, ())).get(module), sys.modules.get(module)
        return known is not None and found is not None and patches.is_own(found) and known != patches.stamp_of(found)

    def put_back_deferred(self) -> None:
        """Put back what had to wait until no import is under way any more."""
        self._import_due()
        while self._deferred:
            self._put_back_key(self._deferred.pop(0))

    def _import_due(self) -> None:
        """Import what has registered something with a package in an earlier cell."""
        while self._due:
            _import_again(self._due.pop(0), self.quiet)

    def import_below(self, package: str) -> None:
        """Import what cells have imported below a package, which is an attribute of it then."""
        for name in self._extra.get(IMPORTS, ()):
            if name.startswith(f"{package}."):
                _import_again(name, contextlib.nullcontext)

    # Noticing

    def before_callbacks(self) -> None:
        """Take in the modules that were imported, before something that the notebook has registered is called."""
        self._acts = True
        self.before_statement(_CALL)

    def before_statement(self, statement: ast.stmt) -> None:
        """Take in the modules that were imported since, before a statement of the cell may change them."""
        self._note_companions()
        self.put_back_deferred()
        patches.own_modules()  # before a statement writes their files
        warned.enter()
        imports = isinstance(statement, ast.Import | ast.ImportFrom)
        if imports:
            self._imports_by_text = True
            self._before_import(companions.modules_of(statement))
            self._registrations.begin(statement)
        else:
            self._registrations.forget()
        self._outer.is_wanted = False
        if imports or names.is_setting_up(statement):
            self._has_imported = True
            return
        if (self.baseline is None and not self._pending) or not names.acts(statement):
            return
        self._outer.watch()
        if self.baseline is None or (self._has_acted and not self._has_imported):
            return
        if self._has_imported and len(sys.modules) != self._noted:
            self._renew(self.baseline)
        self._has_acted, self._has_imported = True, False

    def _before_import(self, modules: Iterable[str]) -> None:
        """Take down what the cell has changed until now: what is imported may take it over."""
        if self.baseline is not None and self._has_acted and not all(map(companions.is_there, modules)):
            self._put = self.baseline.put()

    def _after_import(self) -> None:
        """Take in what a call of the cell has imported, before the call goes on and may change it."""
        self.put_back_deferred()
        if self.baseline is not None and self._has_news():
            self._take_in(self.baseline)

    def _take_in_last(self) -> None:
        """Take in what nothing has acted on since it was imported, if it has to do with what was changed before."""
        if self._baseline is not None and (
            (self._has_news() and is_taken_over(self._applied(), self._others(), self._new()))
            or (not self._acts and self._imports_by_text and self._has_lost_changes())
        ):
            self._take_in(self._baseline)
            self._acts = True

    def _has_lost_changes(self) -> bool:
        return not all(itertools.starmap(is_as_applied, self._applied().items()))

    def _others(self) -> list[Put]:
        return [*self._ambient.changes(), *self._put]

    def _new(self) -> list[str]:
        return [*itertools.islice(reversed(sys.modules), max(0, len(sys.modules) - self._noted))]

    def _has_news(self) -> bool:
        return not all(map(exclusions.is_standard, self._new()))

    def _take_in(self, baseline: Baseline) -> None:
        new = self._new()
        if self._has_acted and len(new) <= FEW:
            self._noted = len(sys.modules)
            baseline.renew_by(new, self._applied(), self._others())
        else:
            self._renew(baseline)

    def _renew(self, baseline: Baseline) -> None:
        self._noted = len(sys.modules)
        with contextlib.suppress(OSError):  # no process can be made: what the text says is carried all the same
            baseline.renew(self._applied(), self._others(), first=not self._has_acted)

    def _note_companions(self) -> None:
        """Have modules imported again that have changed other packages when this cell's statement imported them."""
        known = self._extra.get(COMPANIONS, ())
        new = [pair for pair in self._registrations.end() if pair not in known]
        if new:
            self._extra[COMPANIONS] = (*known, *new)

    def end(self) -> None:
        """Note what this cell has imported: it is imported for later cells."""
        self._outer.end()
        self._note_companions()
        self._take_in_last()
        known = self._extra.get(IMPORTS, ())
        new = {name for name in self._imports - set(known) if name in sys.modules}
        if new:
            self._extra[IMPORTS] = (*known, *sorted(new))
        stamps = dict(self._extra.get(STAMPS, ()))
        if not (own := patches.own_modules()).items() <= stamps.items():
            self._extra[STAMPS] = tuple((stamps | own).items())
        folders = self._extra.get(FOLDERS, ())
        found = {folder for name in hooks.new_modules() if (folder := patches.folder_of(name)) is not None}
        if not found <= {patches.FOLDER, *folders}:
            self._extra[FOLDERS] = (*folders, *sorted(found - {*folders}))

    def values(self, namespace: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
        """Return what there is to save, by key. namespace: the notebook's. live: what of this was loaded, by key."""
        found = patches.found(self._targets, namespace, live, hooks.new_modules(), self._is_covered)
        registered = {key: value for key, value in live.items() if hooks.is_hook(key)}
        if self._acts:
            registered = hooks.found(adapters.HOOKS, self.words, registered)
        return found | self._changes() | registered

    def _changes(self) -> dict[str, Any]:
        """Return what is different in modules from what they held before cells ran, by key."""
        live = self._applied()
        if self.baseline is None:
            return live
        changes: dict[str, Any] = {}
        for key, delta, whole in self.baseline.changes():
            changes[key] = delta if whole or key not in live else merged(live[key], delta)
        for key in live.keys() - changes.keys():
            if not self.baseline.is_pristine(key, live[key]) and not self.baseline.is_replaced(key, live[key]):
                changes[key] = live[key]
        return {key: delta for key, delta in changes.items() if delta.put or delta.gone}

    def _is_covered(self, module: str) -> bool:
        return self._baseline is not None and self._baseline.covers(module)


def _import_again(name: str, quiet: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
    if name not in sys.modules:
        with contextlib.suppress(Exception), settings.undisturbed(), quiet():  # gone: whoever uses it is told
            importlib.import_module(name)
