"""The standard library: readers and writers of data, thread-local data, decimals, sockets."""

from __future__ import annotations

import decimal
import gc
import importlib
import os
import pickle
import types
from typing import TYPE_CHECKING, Any

from cellstack_guest.members import set_member
from cellstack_guest.reducers import refuse, set_attributes
from cellstack_guest.settings import Setting, by_calls, module

if TYPE_CHECKING:
    import argparse
    import ssl
    import threading

# In the order in which they can be set.
_OF_TLS = ("options", "minimum_version", "maximum_version", "verify_flags", "verify_mode", "check_hostname")
_DIALECT = (
    *("delimiter", "doublequote", "escapechar", "lineterminator", "quotechar", "quoting"),
    *("skipinitialspace", "strict"),
)


def reduce_local(local: threading.local) -> Any:
    """Return the reduction of thread-local data: that of this thread, the only one that goes on."""
    return (make_local, (type(local),), dict(vars(local)))


def make_local(cls: Any) -> Any:
    """Return empty thread-local data. What its class would fill it with is asked of the class in other threads only."""
    return cls.__new__(cls)


def reduce_tls(context: ssl.SSLContext) -> Any:
    """Return the reduction of how a client speaks TLS. That of a server has a key, which nobody can read."""
    tls = importlib.import_module("ssl")
    if type(context) is not tls.SSLContext or context.protocol is tls.PROTOCOL_TLS_SERVER:
        return refuse(context)
    attributes = {name: getattr(context, name) for name in _OF_TLS}
    trusted = context.get_ca_certs(binary_form=True)
    ciphers = ":".join(cipher["name"] for cipher in context.get_ciphers() if not cipher["name"].startswith("TLS_"))
    return (make_tls, (int(context.protocol), attributes, b"".join(trusted), ciphers))


def make_tls(protocol: int, attributes: dict[str, Any], trusted: bytes, ciphers: str) -> ssl.SSLContext:
    """Return how a client speaks TLS. trusted: certificates, DER. ciphers: of TLS 1.2 and below."""
    tls = importlib.import_module("ssl")
    context: ssl.SSLContext = tls.SSLContext(protocol)
    context.set_ciphers(ciphers)
    context.check_hostname = False  # what must be, for verify_mode to be set at all
    for name, value in attributes.items():
        setattr(context, name, value)
    if trusted:
        context.load_verify_locations(cadata=trusted)
    return context


def reduce_csv_writer(writer: Any) -> Any:
    """Return the reduction of a csv writer: another one on the same file."""
    for write in gc.get_referents(writer):
        if getattr(write, "__name__", None) == "write" and hasattr(write, "__self__"):
            return (make_csv, ("writer", write.__self__, _dialect(writer)))
    return refuse(writer)


def reduce_csv_reader(reader: Any) -> Any:
    """Return the reduction of a csv reader: another one on the same source, at the same line."""
    source = next(each for each in gc.get_referents(reader) if hasattr(each, "__next__"))
    return (make_csv, ("reader", source, _dialect(reader)), reader.line_num, None, None, set_line)


def set_line(reader: Any, line: int) -> None:
    """Tell a csv reader how many lines it has read."""
    set_member(reader, "line_num", line)


def reduce_csv_dialect(dialect: Any) -> Any:
    """Return the reduction of a dialect as `csv.get_dialect` returns it."""
    return (make_csv_dialect, ({name: getattr(dialect, name) for name in _DIALECT},))


def make_csv_dialect(options: dict[str, Any]) -> Any:
    """Return a dialect."""
    return importlib.import_module("_csv").Dialect(**options)


def _dialect(owner: Any) -> dict[str, Any]:
    return {name: getattr(owner.dialect, name) for name in _DIALECT}


def make_csv(kind: str, file: Any, dialect: dict[str, Any]) -> Any:
    """Return a csv reader or writer."""
    return getattr(importlib.import_module("csv"), kind)(file, **dialect)


def reduce_scanner(scanner: Any) -> Any:
    """Return the reduction of what a `json.JSONDecoder` reads with."""
    return (make_scanner, ({name: getattr(scanner, name) for name in _SCANNER},))


_SCANNER = ("strict", "object_hook", "object_pairs_hook", "parse_float", "parse_int", "parse_constant")


def make_scanner(options: dict[str, Any]) -> Any:
    """Return a scanner of JSON, which looks at a decoder for its options."""
    return importlib.import_module("_json").make_scanner(types.SimpleNamespace(**options))


def reduce_struct(format: Any) -> Any:  # noqa: A002 - what it is
    """Return the reduction of a `struct.Struct`."""
    return (type(format), (format.format,))


def reduce_system_random(generator: Any) -> Any:
    """Return the reduction of a generator whose numbers are those of the system."""
    return (type(generator), (), vars(generator), None, None, set_attributes)


def reduce_entry(entry: os.DirEntry[Any]) -> Any:
    """Return the reduction of an entry of a directory, which is looked for there again."""
    return (find_entry, (entry.path, entry.name))


def find_entry(path: Any, name: Any) -> os.DirEntry[Any]:
    """Return an entry of a directory. FileNotFoundError when there is none of this name any more."""
    with os.scandir(path[: len(path) - len(name)] or None) as entries:
        for entry in entries:
            if entry.name == name:
                return entry
    raise FileNotFoundError(f"{os.fsdecode(path)} is gone")


def reduce_argument(part: argparse.Action | argparse.ArgumentParser) -> Any:
    """Return the reduction of a parser of arguments, or of a part of one.

    They ask for one value whether it *is* the text `argparse.SUPPRESS`.
    """
    reduction: Any = part.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    make, arguments, state = reduction[:3]
    return (make, arguments, state, None, None, set_argument)


def set_argument(part: Any, state: dict[str, Any]) -> None:
    """Give it its attributes."""
    suppress = module("argparse").SUPPRESS
    for name, value in state.items():
        part.__dict__[name] = suppress if type(value) is str and value == suppress else value


def reduce_gzip(file: Any) -> Any:
    """Return the reduction of an open gzip file: one on the same file, at the same place.

    What has been written is a part that ends at a byte, and does not refer to itself from behind it.
    """
    gzip = module("gzip")
    if type(file) is not gzip.GzipFile:
        return refuse(file)
    if file.fileobj is None:
        return (make_gzip_closed, ({"name": file.name, "mode": file.mode, "fileobj": None, "myfileobj": None},))
    if file.myfileobj is None:  # it may begin anywhere in a file of somebody else's
        return refuse(file)
    if file.mode == gzip.READ:
        return (make_gzip, (file.name, "rb", file.fileobj), file.tell(), None, None, set_read)
    file.flush(module("zlib").Z_FULL_FLUSH)
    counts = {name: getattr(file, name) for name in _WRITTEN if hasattr(file, name)}
    return (make_gzip, (file.name, "wb", file.fileobj), counts, None, None, set_written)


_WRITTEN = ("crc", "size", "offset", "_write_mtime")


class _Unheard:
    """Takes the head of a gzip file, which is there already."""

    def write(self, data: bytes) -> int:
        return len(data)


def make_gzip_closed(attributes: dict[str, Any]) -> Any:
    """Return a gzip file that is closed."""
    kind = importlib.import_module("gzip").GzipFile
    file = kind.__new__(kind)
    vars(file).update(attributes)
    return file


def make_gzip(name: str, mode: str, file: Any) -> Any:
    """Return a gzip file on another file, which is its own."""
    made = importlib.import_module("gzip").GzipFile(name, mode, fileobj=_Unheard() if mode == "wb" else file)
    made.fileobj = made.myfileobj = file
    return made


def set_read(file: Any, place: int) -> None:
    """Go to where it was read."""
    file.fileobj.seek(0)
    file.seek(place)


def set_written(file: Any, counts: dict[str, Any]) -> None:
    """Tell it what has been written."""
    vars(file).update(counts)


def _state(context: decimal.Context) -> Any:
    reduction: Any = context.__reduce__()
    return reduction[1]  # precision, rounding, limits, capitals, clamp, flags, traps


def _read_decimal() -> Any:
    return _state(decimal.getcontext())


def _write_decimal(value: Any) -> None:
    decimal.setcontext(decimal.Context(*value))


_TEMPLATES = (decimal.DefaultContext, decimal.BasicContext, decimal.ExtendedContext)


def _read_templates() -> Any:
    return [_state(context) for context in _TEMPLATES]


def _write_templates(values: Any) -> None:
    for context, value in zip(_TEMPLATES, values, strict=True):
        *_, flags, traps = value
        names = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
        for name, each in zip(names, value, strict=False):
            setattr(context, name, each)
        for signal in context.flags:
            context.flags[signal], context.traps[signal] = signal in flags, signal in traps


SETTINGS = (
    Setting("decimal", "", _read_decimal, _write_decimal),
    Setting("contexts of decimal", "", _read_templates, _write_templates),
    by_calls("socket timeout", "socket", "getdefaulttimeout", "setdefaulttimeout"),
    by_calls("csv field size", "csv", "field_size_limit", "field_size_limit"),
)
HANDLERS = {
    ("_thread", "_local"): reduce_local,
    ("ssl", "SSLContext"): reduce_tls,
    ("_csv", "writer"): reduce_csv_writer,
    ("_csv", "reader"): reduce_csv_reader,
    ("_csv", "Dialect"): reduce_csv_dialect,
    ("_json", "Scanner"): reduce_scanner,
    ("_struct", "Struct"): reduce_struct,
    ("random", "SystemRandom"): reduce_system_random,
    ("posix", "DirEntry"): reduce_entry,
    ("argparse", "Action"): reduce_argument,
    ("argparse", "_ActionsContainer"): reduce_argument,
    ("gzip", "GzipFile"): reduce_gzip,
}
