"""Arrays: each piece of memory is saved once, and the arrays that look into it are rebuilt on it.

An array that owns its memory becomes a buffer (out of band when it is large); a view becomes the owner and where it
lies in it. So two views that overlap still do after loading. Nothing here imports numpy or pandas: a value of
theirs can only exist where they have been imported.
"""

from __future__ import annotations

import array as typed
import ctypes
import os
import sys
from pickle import PickleBuffer
from typing import Any

from cellstack_guest import dirty, texts
from cellstack_guest.adapters import torch

# Kinds whose bytes mean the same in another process: not objects, not strings on a heap of their own.
_PLAIN_KINDS = "biufcmMSUV?"
# Whose memory arrays look into, and which show it themselves.
_LENDERS = (bytearray, typed.array, ctypes.Array, ctypes.Structure, ctypes.Union)


def reduce_array(array: Any) -> Any:
    """Return the reduction of a numpy array, or NotImplemented where numpy's own is right."""
    numpy = sys.modules["numpy"]
    cls = type(array)
    if cls is numpy.memmap:
        return _reduce_memmap_view(array) if isinstance(array.base, numpy.ndarray) else _reduce_memmap(array)
    if not _is_numpys(cls, numpy):
        return NotImplemented
    owner = _owner(array, numpy)
    if array.dtype.hasobject or array.dtype.kind not in _PLAIN_KINDS:
        own = owner is array and array.dtype == object
        return texts.reduce_texts(array) if own else _reduce_object_view(array, owner)
    of_tensor = hasattr(owner.base, "untyped_storage")
    reduction = _reduce_over(array, owner)
    if reduction is NotImplemented and (of_tensor or owner is not array):
        reduction = (_reduce_view_of_tensor if of_tensor else _reduce_view)(array, owner)
    if reduction is not NotImplemented:
        return reduction
    flat = _flat(array, numpy)
    if flat is None:
        return NotImplemented
    arguments = (PickleBuffer(flat), cls, array.dtype, array.shape, array.strides, array.flags.writeable)
    return (load_owner, arguments, getattr(array, "__dict__", None) or None, None, None, set_attributes)


def reduce_record(record: Any) -> Any:
    """Return the reduction of an element of a structured array, which looks into the array's memory."""
    numpy = sys.modules["numpy"]
    if not isinstance(record.base, numpy.ndarray) or record.dtype.hasobject:
        return NotImplemented
    owner = _owner(record.base, numpy)
    offset = _address(record) - _address(owner)
    if not owner.flags.forc or not 0 <= offset <= owner.nbytes - record.nbytes:
        return NotImplemented
    return load_record, (numpy.ndarray((), record.dtype, owner, offset),)


def load_record(array: Any) -> Any:
    """Return the only element of a structured array."""
    return array[()]


def reduce_masked(array: Any) -> Any:
    """Return the reduction of a masked array by its data and its mask, two arrays that others may look into, too.

    numpy's own keeps copies of both in the pickle, and gives one without a mask one of all False.
    """
    numpy = sys.modules["numpy"]
    cls, masked = type(array), numpy.ma.MaskedArray
    if any(getattr(cls, name) is not getattr(masked, name) for name in ("__reduce__", "__getstate__", "__setstate__")):
        return NotImplemented
    attributes = dict(array.__dict__)
    mask = attributes.pop("_mask", numpy.ma.nomask)
    state = attributes, None if mask is numpy.ma.nomask else mask
    if _owner(array, numpy) is not array:
        arguments = (cls, array.view(numpy.ndarray))
        return (load_masked, arguments, state, None, None, set_masked)
    flat = None if array.dtype.hasobject or array.dtype.kind not in _PLAIN_KINDS else _flat(array, numpy)
    if flat is None:
        return (load_masked, (cls, array.view(numpy.ndarray).copy("K")), state, None, None, set_masked)
    layout = array.dtype, array.shape, array.strides, array.flags.writeable
    return (load_masked_owner, (cls, PickleBuffer(flat), *layout), state, None, None, set_masked)


def load_masked(cls: type, data: Any) -> Any:
    """Build a masked array on its data."""
    return data.view(cls)


def load_masked_owner(cls: type, buffer: Any, *layout: Any) -> Any:
    """Build a masked array on mapped memory. layout: dtype, shape, strides and whether it can be written to."""
    return load_owner(buffer, sys.modules["numpy"].ndarray, *layout).view(cls)


def set_masked(array: Any, state: tuple[dict[str, Any], Any]) -> None:
    """Give a masked array its attributes and its mask, None for none."""
    attributes, mask = state
    array.__dict__.update(attributes)
    array.__dict__["_mask"] = sys.modules["numpy"].ma.nomask if mask is None else mask


def load_owner(
    buffer: Any, cls: type, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...], writeable: bool
) -> Any:
    """Build an array on mapped memory; one that was kept in the pickle owns its memory, as it did before."""
    numpy = sys.modules["numpy"]
    if isinstance(buffer, memoryview):
        array = numpy.ndarray.__new__(cls, shape, dtype, buffer, 0, strides)
    else:
        array = numpy.ndarray(shape, dtype, buffer, 0, strides).copy("K")
        if cls is not numpy.ndarray:
            array = array.view(cls)
    if not writeable:
        array.setflags(write=False)
    return array


def _reduce_over(array: Any, owner: Any) -> Any:
    """Return the reduction of an array on the memory of an object that shows it in its own way."""
    lender = owner.base.obj if type(owner.base) is memoryview else owner.base
    if not isinstance(lender, _LENDERS) or not array.nbytes or dirty.maps_file(lender):
        return NotImplemented
    numpy = sys.modules["numpy"]
    offset = _address(array) - _address(numpy.frombuffer(lender, numpy.uint8))
    arguments = (lender, type(array), array.dtype, array.shape, array.strides, offset, array.flags.writeable)
    return (load_over, arguments, getattr(array, "__dict__", None) or None, None, None, set_attributes)


def load_over(lender: Any, *layout: Any) -> Any:
    """Build an array on the memory of an object that is none. layout: what `load_view` takes."""
    numpy = sys.modules["numpy"]
    return load_view(numpy.frombuffer(lender, numpy.uint8), *layout)


def load_view(
    owner: Any,
    cls: type,
    dtype: Any,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int,
    writeable: bool,
) -> Any:
    """Build a view that starts `offset` bytes into the owner's memory."""
    numpy = sys.modules["numpy"]
    locked = writeable and not owner.flags.writeable
    if locked:
        owner.setflags(write=True)
    view = numpy.ndarray.__new__(cls, shape, dtype, owner, offset, strides)
    if locked:
        owner.setflags(write=False)
    if view.flags.writeable and not writeable:
        view.setflags(write=False)
    return view


def load_object_view(owner: Any, start: int, shape: tuple[int, ...], strides: tuple[int, ...], writeable: bool) -> Any:
    """Build a view on an array of objects, from its element `start` in memory order."""
    numpy = sys.modules["numpy"]
    flat = owner.ravel("K")[start:]
    return numpy.lib.stride_tricks.as_strided(flat, shape, strides, writeable=writeable)


def set_attributes(array: Any, attributes: dict[str, Any]) -> None:
    """Give an array of a subclass its attributes."""
    array.__dict__.update(attributes)


def load_memmap(filename: str, dtype: Any, mode: str, offset: int, shape: tuple[int, ...], order: str) -> Any:
    """Open a numpy.memmap on its file again."""
    numpy: Any = sys.modules["numpy"]
    return numpy.memmap(filename, dtype, mode, offset, shape, order)


def _is_numpys(cls: type, numpy: Any) -> bool:
    """Whether a (sub)class leaves pickling to numpy."""
    array: Any = numpy.ndarray
    return cls is array or all(
        getattr(cls, name) is getattr(array, name)
        for name in ("__reduce__", "__reduce_ex__", "__setstate__", "__getstate__")
        if hasattr(array, name)
    )


def _owner(array: Any, numpy: Any) -> Any:
    """Return the last array in the chain of bases."""
    while True:
        base = array.base
        if type(base).__name__ == "DummyArray":  # what numpy.lib.stride_tricks puts between
            base = base.base
        if not isinstance(base, numpy.ndarray) or base.dtype.hasobject != array.dtype.hasobject:
            return array
        array = base


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def _flat(array: Any, numpy: Any) -> Any:
    """Return an array's memory as bytes, without copying; None where it is not one piece."""
    plain = array.view(numpy.ndarray)
    flat = plain.ravel("K")
    if not array.nbytes or _address(flat) != _address(plain) or min(plain.strides, default=0) < 0:
        return None
    return flat.view(numpy.uint8)


def _reduce_view(array: Any, owner: Any) -> Any:
    if not array.nbytes or not (owner.flags.c_contiguous or owner.flags.f_contiguous):
        return NotImplemented
    offset = _address(array) - _address(owner)
    steps = [(count - 1) * stride for count, stride in zip(array.shape, array.strides, strict=True)]
    lowest = offset + sum(step for step in steps if step < 0)
    highest = offset + sum(step for step in steps if step > 0) + array.itemsize
    if lowest < 0 or highest > owner.nbytes:
        return NotImplemented
    arguments = (owner, type(array), array.dtype, array.shape, array.strides, offset, array.flags.writeable)
    return (load_view, arguments, getattr(array, "__dict__", None) or None, None, None, set_attributes)


def _reduce_view_of_tensor(array: Any, owner: Any) -> Any:
    storage = owner.base.untyped_storage()
    reduction = _reduce_view(array, torch.bytes_of(storage))
    if reduction is NotImplemented:
        return reduction
    _, arguments, *rest = reduction
    return (load_view_of_tensor, (storage, *arguments[1:]), *rest)


def load_view_of_tensor(storage: Any, *arguments: Any) -> Any:
    """Build a view that looks into the memory of tensors; arguments: those of `load_view` after the first."""
    return load_view(torch.bytes_of(storage), *arguments)


def _reduce_object_view(array: Any, owner: Any) -> Any:
    contiguous = owner.flags.c_contiguous or owner.flags.f_contiguous
    if owner is array or not contiguous or not array.size or array.dtype != owner.dtype:
        return NotImplemented
    start, rest = divmod(_address(array) - _address(owner), owner.itemsize)
    if rest or type(array).__name__ != "ndarray":
        return NotImplemented
    return (load_object_view, (owner, start, array.shape, array.strides, array.flags.writeable))


def _reduce_memmap(array: Any) -> Any:
    numpy = sys.modules["numpy"]
    filename = getattr(array, "filename", None)
    if filename is None or array.mode == "c":
        plain = array.view(numpy.ndarray)
        return (numpy.array, (plain.copy(),))
    array.flush()
    mode = "r+" if array.mode == "w+" else array.mode
    order = "C" if array.flags.c_contiguous else "F"
    return (load_memmap, (os.fspath(filename), array.dtype, mode, array.offset, array.shape, order))


def _reduce_memmap_view(array: Any) -> Any:
    numpy = sys.modules["numpy"]
    plain, owner = array.view(numpy.ndarray), _owner(array, numpy)
    reduction = _reduce_view(plain, owner)
    if reduction is NotImplemented:
        return (numpy.array, (plain.copy(),))
    return (load_memmap_view, reduction[1])


def load_memmap_view(owner: Any, *layout: Any) -> Any:
    """Build a view of a numpy.memmap that is one, too. layout: what `load_view` takes."""
    numpy: Any = sys.modules["numpy"]
    view = load_view(owner, *layout)
    if isinstance(owner, numpy.memmap):
        view = view.view(numpy.memmap)
        view.__dict__.update(vars(owner))
    return view


# pandas: frames share memory lazily and copy on write; who shares is known by a `BlockValuesRefs`.


def reduce_block(block: Any) -> Any:
    """Return the reduction of a block of a frame, with the record of who shares its memory."""
    make, (_, *rest), *_ = block.__reduce_ex__(5)  # pandas' own has a copy of values that do not lie side by side
    refs = getattr(block, "refs", None)
    if refs is None or not refs.has_reference():
        return (make, (block.values, *rest))
    return (load_block, (make, (block.values, *rest), refs))


def reduce_single_manager(manager: Any) -> Any:
    """Return the reduction of a series' data by its block; pandas' own keeps the values only."""
    if not hasattr(manager.blocks[0], "refs"):
        return NotImplemented
    return (type(manager), (manager.blocks[0], manager.axes[0]))


def load_block(make: Any, arguments: tuple[Any, ...], refs: Any) -> Any:
    """Build a block that knows it shares its memory, so that writing to it copies."""
    block = make(*arguments)
    block.refs = refs
    refs.add_reference(block)
    return block


def reduce_index(index: Any) -> Any:
    """Return the reduction of an index, with the record of who shares its memory."""
    refs = getattr(index, "_references", None)
    computed = getattr(type(index), "_references", None) is not None  # a RangeIndex has no memory to share
    if refs is None or computed or not refs.has_reference():
        return NotImplemented
    make, arguments, *_ = index.__reduce_ex__(5)
    return (load_index, (make, arguments, refs))


def load_index(make: Any, arguments: tuple[Any, ...], refs: Any) -> Any:
    """Build an index that knows it shares its memory."""
    index = make(*arguments)
    index._references = refs  # noqa: SLF001 - as pandas does where it makes a view of an index
    refs.add_index_reference(index)
    return index


def reduce_refs(refs: Any) -> Any:
    """Return the reduction of the record itself: empty, those who share enter themselves when they are loaded."""
    return (type(refs), ())
