"""All kinds and idioms, as groups that can be run."""

from __future__ import annotations

from tests.carry import idioms_science
from tests.carry.idioms_notebook import IDIOMS
from tests.carry.kinds_python import LANGUAGE, STANDARD
from tests.carry.kinds_science import IMPORTS, MODULES, SCIENCE
from tests.carry.runner import Entry, Group, kind

# Kinds that stand for something of the process, which is opened or made again.
ANEW: dict[str, frozenset[str]] = {
    "numpy": frozenset({"memmap"}),
    "pandas": frozenset({"TextFileReader"}),
    "openpyxl": frozenset({"pandas.ExcelFile", "pandas.ExcelWriter"}),
    "Pillow": frozenset({"Image of a file, not read yet"}),
    "pyarrow": frozenset({"ParquetFile", "memory map"}),
    "SQLAlchemy": frozenset({"Engine, of a file", "Connection", "Session", "sessionmaker"}),
    "requests": frozenset({"Session"}),
    "httpx": frozenset({"Client", "AsyncClient"}),
    "files and data": frozenset(
        {
            *("file, read", "file, in the middle of an iteration", "file, written", "file, appended"),
            *(
                "file, read and written",
                "file, unbuffered",
                "TemporaryFile",
                "NamedTemporaryFile",
                "TemporaryDirectory",
            ),
            *("gzip file", "ZipFile, read", "ZipFile, written", "TarFile", "mmap", "anonymous mmap", "os.scandir"),
            *("sqlite3 connection to a file", "sqlite3 connection in memory", "sqlite3 cursor", "shelf"),
        }
    ),
    "processes and threads": frozenset(
        {
            *("Lock", "Lock, held", "RLock", "Event", "Condition", "Semaphore", "Barrier", "Queue", "PriorityQueue"),
            *("ThreadPoolExecutor", "ProcessPoolExecutor", "multiprocessing.Pool", "socket", "selector", "event loop"),
            *("thread that runs", "Timer", "process that runs", "listening socket", "socket pair", "ctypes library"),
        }
    ),
    "tools": frozenset({"FileHandler", "StreamHandler"}),
}
# Kinds whose class is the kernel's own.
OWN = frozenset({"stdout", "get_ipython()"})
_AFTER = {"matplotlib": "plt.close('all')", "seaborn": "plt.close('all')"}


def kinds() -> list[Group]:
    """Return the groups of kinds of objects."""
    groups = []
    for name, entries in {**LANGUAGE, **STANDARD, **SCIENCE}.items():
        anew = ANEW.get(name, frozenset())
        modules = MODULES.get(name, (name,)) if name in SCIENCE else ()
        made = tuple(kind(each, *cells, anew=each in anew, own=each in OWN) for each, cells in entries.items())
        groups.append(Group(name, made, modules, IMPORTS.get(name, ""), _AFTER.get(name, ""), clean=True))
    return groups


def idioms() -> list[Group]:
    """Return the groups of idioms."""
    groups = []
    for name, entries in {"notebooks": IDIOMS, **idioms_science.PYTHON, **idioms_science.SCIENCE}.items():
        modules = idioms_science.MODULES.get(name, (name,) if name in idioms_science.SCIENCE else ())
        made = tuple(Entry(each, cells) for each, cells in entries.items())
        groups.append(Group(name, made, modules, idioms_science.FIRST.get(name, "")))
    return groups
