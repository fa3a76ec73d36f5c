"""h5py: files, which are opened again as they were, and what is in them, which is found again by its name."""

from __future__ import annotations

import os
import weakref
from typing import Any

from cellstack_guest.reducers import refuse
from cellstack_guest.settings import module

# A file has a name of its own from the cell that has opened it to the last one that has it, and each process opens it
# once: a dataset belongs to the file that another variable holds, and is closed with it.
_opened: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
_names: dict[int, str] = {}  # by the number that HDF5 has given to the file in this process


def reduce_file(file: Any) -> Any:
    """Return the reduction of a file: one that is open in the same way, or a closed one."""
    if not file:
        return (closed, (type(file),))
    if file.driver != "sec2" or file.swmr_mode or not file.filename:
        return refuse(file, "that is not simply a file on the disk")
    if file.mode != "r":
        file.flush()  # what is written is in the layer
    found, opened = _status(file.filename), os.fstat(file.id.get_vfd_handle())
    if found is None or not os.path.samestat(found, opened):
        return refuse(file, "that is no longer where it was opened")
    own = _names.setdefault(file.id.id, os.urandom(8).hex())
    return (open_file, (type(file), file.filename, file.mode, file.libver, own))


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def open_file(kind: type, path: str, mode: str, libver: tuple[str, str], own: str) -> Any:
    """Return an open file; FileNotFoundError when it is gone, which h5py raises."""
    file = _opened.get(own)
    if not file:  # there is none, or it was closed meanwhile
        file = _opened[own] = kind(path, mode, libver=libver)
        _names[file.id.id] = own
    return file


def reduce_member(member: Any) -> Any:
    """Return the reduction of a group, a dataset or a type: what has that name in its file."""
    if not member:
        return (closed, (type(member),))
    if member.name is None:
        return refuse(member, "without a name in its file")
    return (member_of, (member.file, member.name))


def closed(kind: type) -> Any:
    """Return a file, or something of one, that is closed."""
    h5py = module("h5py")
    with h5py.File("closed", "w", driver="core", backing_store=False) as file:
        if issubclass(kind, h5py.File):
            return file
        if issubclass(kind, h5py.Dataset):
            return file.create_dataset("closed", data=0)
        file["closed"] = h5py.h5t.NATIVE_INT8.dtype
        return file.create_group("group") if issubclass(kind, h5py.Group) else file["closed"]


def member_of(file: Any, name: str) -> Any:
    """Return what has a name in a file."""
    return _keeping(file, file[name])


def _keeping(file: Any, part: Any) -> Any:
    """Have the file in `_opened` for as long as there is something of it."""
    vars(part)["_cellstack_file"] = file
    return part


def reduce_attributes(attributes: Any) -> Any:
    """Return the reduction of the attributes of a group or a dataset."""
    return (attributes_of, (_of_id(attributes._id),))  # noqa: SLF001  it has nothing else


def attributes_of(member: Any) -> Any:
    """Return the attributes of a group or a dataset."""
    return _keeping(member.file, member.attrs)


def reduce_dimensions(dimensions: Any) -> Any:
    """Return the reduction of the dimensions of a dataset."""
    return (dimensions_of, (_of_id(dimensions._id),))  # noqa: SLF001  it has nothing else


def dimensions_of(dataset: Any) -> Any:
    """Return the dimensions of a dataset."""
    return _keeping(dataset.file, dataset.dims)


def _of_id(identifier: Any) -> Any:
    """Return the group or dataset of a low-level identifier, which is a number in this process."""
    if not identifier:
        return refuse(identifier, "of a file that is closed")
    h5py = module("h5py")
    file = h5py.File(h5py.h5i.get_file_id(identifier))
    return file[h5py.h5i.get_name(identifier)]


HANDLERS = {
    ("h5py._hl.files", "File"): reduce_file,
    ("h5py._hl.base", "HLObject"): reduce_member,
    ("h5py._hl.attrs", "AttributeManager"): reduce_attributes,
    ("h5py._hl.dims", "DimensionManager"): reduce_dimensions,
    ("h5py._objects", "ObjectID"): refuse,
}
