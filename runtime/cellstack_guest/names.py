"""Which variables a piece of code can reach.

An answer may name too much (then something is loaded for nothing) but must not name too little: a name that is
missing here is a NameError in the cell. Code that can reach names nobody can read off it (`eval`, `globals()`,
namespace magics) reaches everything.
"""

from __future__ import annotations

import ast
import dis
import re
import symtable
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WORD = re.compile(r"[^\W\d]\w*")
# Reach the namespace wherever they stand, also inside a function.
_EVERYTHING = frozenset({"eval", "exec", "globals", "breakpoint"})
# Reach it only without an argument and outside of functions.
_LISTING = frozenset({"vars", "dir", "locals"})
_EVERYTHING_ATTRIBUTES = frozenset(
    {
        *("user_ns", "user_global_ns", "f_globals", "f_locals", "f_back", "currentframe", "_getframe", "__globals__"),
        "read_pickle",
        "__subclasses__",  # which are there once they are loaded
    }
)
_MAGICS = frozenset(
    {"who", "who_ls", "whos", "reset", "reset_selective", "store", "psearch", "debug", "run", "macro", "rerun"}
)
_SETTING_UP = frozenset({"matplotlib", "pylab", "config", "load_ext", "reload_ext"})
# Modules whose functions look into __main__: for tests, or for the classes of what they load.
_TESTERS = frozenset({"unittest", "doctest"})
_PICKLERS = frozenset({"pickle", "cloudpickle", "dill", "joblib", "shelve"})
_UNPICKLING = frozenset({"load", "loads", "open", "Unpickler"})
_OF_SHELL = frozenset({"ev", "ex", "user_expressions"})
_RUN_MAGIC = frozenset({"run_line_magic", "run_cell_magic"})
_LISTED_IN_TEXT = re.compile(r"\b(?:vars|dir|locals)\(\s*\)")
# A string that is computed and handed to one of these may name variables.
_EVALUATORS = frozenset({"query", "eval", "evaluate"})
_MAIN = "__main__"

_GLOBAL_OPS = {dis.opmap[name]: shift for name, shift in (("LOAD_GLOBAL", 1), ("LOAD_NAME", 0)) if name in dis.opmap}
_GLOBAL_OPS |= {
    dis.opmap[name]: 0 for name in ("DELETE_GLOBAL", "DELETE_NAME", "LOAD_FROM_DICT_OR_GLOBALS") if name in dis.opmap
}
_EXTENDED_ARG = dis.opmap["EXTENDED_ARG"]


@dataclass(frozen=True, slots=True)
class Reach:
    """Names that can be read or deleted; `everything` when they cannot be told apart.

    imports: dotted names of what import statements may import, of modules and of what is in them. targets: dotted
    names with an attribute that is assigned to (True), or has a method called (False). acts: whether it may change what
    modules hold.
    """

    names: frozenset[str] = frozenset()
    everything: bool = False
    imports: frozenset[str] = frozenset()
    targets: frozenset[tuple[str, bool]] = frozenset()
    acts: bool = True


EVERYTHING = Reach(everything=True)


def words(text: str) -> Iterator[str]:
    """Yield the words in `text` that could be identifiers."""
    return (match[0] for match in _WORD.finditer(text))


def reach_of_source(code: str) -> Reach:
    """Return what a cell can reach; `code` as IPython transformed it or as it was typed."""
    if code.isascii() and code.strip("0123456789+-*/ ()\n") == "":
        return Reach(acts=False)
    try:
        tree = ast.parse(code)
        table = symtable.symtable(code, "<cell>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _reach_of_text(code)
    names = set(_names_of_table(table))
    imports: set[str] = set()
    targets: set[tuple[str, bool]] = set()
    everything = acting = False
    for node in ast.walk(tree):
        acting = acting or _acts(node)
        everything = everything or _reaches_everything(node)
        names.update(_names_of_node(node))
        imports.update(_imports_of_node(node))
        targets.update(_targets_of_node(node))
    return Reach(frozenset(names), everything, frozenset(imports), frozenset(targets), acting)


def acts(tree: ast.AST) -> bool:
    """Tell whether code may change what modules hold, other than by importing them.

    It cannot without a call, be it one of a decorator or of a class' base, and without a store to what is no variable.
    """
    return any(map(_acts, ast.walk(tree)))


def one_by_one(statement: ast.stmt) -> list[ast.stmt]:
    """Return a statement as one for each module that it imports: each is looked at before and after that."""
    if not isinstance(statement, ast.Import):
        return [statement]
    return [ast.copy_location(ast.Import([alias]), statement) for alias in statement.names]


def is_setting_up(statement: ast.stmt) -> bool:
    """Tell whether a statement is a magic that imports, and whose effect is carried by the shell's preferences."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="run_line_magic"), args=[ast.Constant(value=magic), *_])):
            return magic in _SETTING_UP
    return False


def _acts(node: ast.AST) -> bool:
    match node:
        case ast.Call() | ast.Await() | ast.With() | ast.AsyncWith() | ast.AugAssign():
            return True
        case ast.ClassDef(bases=bases, keywords=keywords, decorator_list=decorators):
            return bool(bases or keywords or decorators)
        case ast.FunctionDef(decorator_list=decorators) | ast.AsyncFunctionDef(decorator_list=decorators):
            return bool(decorators)
        case ast.Attribute(ctx=context) | ast.Subscript(ctx=context):
            return not isinstance(context, ast.Load)
    return False


def reach_of_function(code: CodeType) -> Reach:
    """Return what a function's code, and the code nested in it, can reach of its globals."""
    names: set[str] = set()
    pending = [code]
    while pending:
        current = pending.pop()
        names.update(_global_names(current))
        used = frozenset(current.co_names)
        if used & _EVERYTHING_ATTRIBUTES or used & _TESTERS or (used & _PICKLERS and used & _UNPICKLING):
            return EVERYTHING
        for constant in _flatten(current.co_consts):
            if isinstance(constant, CodeType):
                pending.append(constant)
            elif isinstance(constant, str):
                names.update(words(constant))
    return EVERYTHING if not _EVERYTHING.isdisjoint(names) else Reach(frozenset(names))


def _reach_of_text(text: str) -> Reach:
    found = frozenset(words(text))
    magic = any(re.search(rf"%{name}\b", text) for name in _MAGICS & found)
    return EVERYTHING if magic or _text_reaches_everything(text) else Reach(found)


def _text_reaches_everything(text: str) -> bool:
    found = not (_EVERYTHING | _EVERYTHING_ATTRIBUTES).isdisjoint(words(text))
    return found or _LISTED_IN_TEXT.search(text) is not None


def _names_of_table(table: symtable.SymbolTable) -> Iterator[str]:
    outermost = table.get_type() == "module"
    body = table.get_type() == "class"
    for symbol in table.get_symbols():
        # The body of a class looks a name up in the globals while it has not been bound there yet.
        if symbol.is_referenced() and (outermost or body or symbol.is_global()):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _names_of_table(child)


def _names_of_node(node: ast.AST) -> Iterable[str]:
    """Names that the symbol table does not report as read: deleted, augmented, in strings."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del):
        return (node.id,)
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        return (node.target.id,)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return words(node.value)
    return ()


def _imports_of_node(node: ast.AST) -> Iterable[str]:
    """Dotted names that a statement imports; that of a module that has no dot needs no import of its own."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if "." in alias.name]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        own = [node.module] if "." in node.module else []
        return own + [f"{node.module}.{alias.name}" for alias in node.names]
    return ()


def _targets_of_node(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """Dotted names, of at least two parts, of what a node changes: in `a.b[0] = c` and `a.b.append(c)` it is `a.b`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        path, assigned = _dotted(node.func.value), False
    elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        whole: ast.expr = node
        while isinstance(whole, ast.Subscript):
            whole = whole.value
        path, assigned = _dotted(whole), True
    else:
        return
    if "." in path:
        yield path, assigned


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _reaches_everything(node: ast.AST) -> bool:  # noqa: PLR0911 - a table
    match node:
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in _LISTING:
            return not arguments
        case ast.Name(id=name):
            return name in _EVERYTHING or name in _TESTERS
        case ast.Call(func=ast.Attribute(attr=name), args=[ast.Constant(value=str(magic)), *rest]) if (
            name in _RUN_MAGIC
        ):
            texts = [text.value if isinstance(text, ast.Constant) else "eval" for text in rest]  # that are computed
            return magic in _MAGICS or any(map(_text_reaches_everything, map(str, texts)))
        case ast.Call(
            func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"), args=[ast.Constant(value=name)]
        ):
            return bool(name == _MAIN)
        case ast.Call(func=ast.Attribute(ast.Call(func=ast.Name(id="get_ipython")), name)) if name in _OF_SHELL:
            return True
        case ast.Call(func=ast.Attribute(attr=name), args=arguments) if name in _EVALUATORS:
            return not all(isinstance(argument, ast.Constant) for argument in arguments)
        case ast.Attribute(value=ast.Name(id=module), attr=name) if module in _PICKLERS:
            return name in _UNPICKLING
        case ast.Attribute(attr=name):
            return name in _EVERYTHING_ATTRIBUTES
        case ast.Import(names=imported):
            return any(alias.name == _MAIN for alias in imported)
        case ast.ImportFrom(module=module, names=imported):
            loads = module in _PICKLERS and any(alias.name in _UNPICKLING for alias in imported)
            return loads or module == _MAIN or module in _TESTERS
        case ast.Subscript(slice=ast.Constant(value=key)):
            return bool(key == _MAIN)
    return False


def _flatten(constants: Iterable[object]) -> Iterator[object]:
    for constant in constants:
        if isinstance(constant, (tuple, frozenset)):
            yield from _flatten(constant)
        else:
            yield constant


def _global_names(code: CodeType) -> Iterator[str]:
    """Yield the names of the instructions that look into the globals."""
    instructions = code.co_code
    extended = 0
    for position in range(0, len(instructions), 2):
        operation, argument = instructions[position], instructions[position + 1] | extended
        extended = argument << 8 if operation == _EXTENDED_ARG else 0
        shift = _GLOBAL_OPS.get(operation)
        if shift is not None:
            yield code.co_names[argument >> shift]
