"""A layer as a tar stream."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile
from typing import TYPE_CHECKING

import pytest

from cellstack_runtime import archive
from cellstack_runtime.store.marks import make_opaque, make_whiteout

if TYPE_CHECKING:
    from pathlib import Path


def members(folder: Path, **options: int) -> dict[str, tarfile.TarInfo]:
    data = b"".join(archive.tar_stream(str(folder), **options))
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return {member.name: member for member in tar.getmembers()}


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    layer = tmp_path / "layer"
    (layer / "etc").mkdir(parents=True)
    (layer / "etc/passwd").write_text("root:x:0\n")
    (layer / "etc/empty").write_text("")
    (layer / ("long" * 40)).mkdir()
    (layer / ("long" * 40) / ("name" * 30)).write_bytes(bytes(1000))
    (layer / "grün").write_text("ü")
    os.symlink("../etc/passwd", layer / "etc/link")
    os.link(layer / "etc/passwd", layer / "hard")
    os.mkfifo(layer / "fifo")
    return layer


def test_tar_holds_what_the_layer_has(layer: Path, tmp_path: Path) -> None:
    data = b"".join(archive.tar_stream(str(layer)))
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        names = tar.getnames()
        tar.extraction_filter = lambda member, _path: member  # Python before 3.11.4 has no `filter` argument
        tar.extractall(tmp_path / "out")
    assert len(data) % 512 == 0
    for path in layer.rglob("*"):
        other = tmp_path / "out" / path.relative_to(layer)
        assert path.lstat().st_mode == other.lstat().st_mode, path
        assert int(path.lstat().st_mtime) == int(other.lstat().st_mtime) or path.is_dir()
        if path.is_file():
            assert path.read_bytes() == other.read_bytes()
    assert names == sorted(names)
    assert os.path.samefile(tmp_path / "out/hard", tmp_path / "out/etc/passwd")
    assert os.readlink(tmp_path / "out/etc/link") == "../etc/passwd"


def test_same_layer_gives_the_same_bytes_wherever_it_is(layer: Path, tmp_path: Path) -> None:
    first = archive.digest(str(layer))
    data = b"".join(archive.tar_stream(str(layer)))
    assert first == (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
    layer.rename(tmp_path / "moved")
    assert archive.digest(str(tmp_path / "moved")) == first
    (tmp_path / "moved/etc/passwd").write_text("root:x:1\n")
    assert archive.digest(str(tmp_path / "moved")) != first


def test_links_to_files_outside_the_layer_are_files(layer: Path, tmp_path: Path) -> None:
    os.link(layer / "etc/empty", tmp_path / "elsewhere")
    assert members(layer)["etc/empty"].isreg()


def test_whiteouts_and_opaque_directories_have_their_oci_names(layer: Path) -> None:
    make_whiteout(str(layer / "etc/gone"))
    try:
        make_opaque(str(layer / "etc"))
    except OSError as error:
        pytest.skip(f"the temporary directory has no extended attributes: {error.strerror}")
    found = members(layer)
    assert found["etc/.wh.gone"].isreg()
    assert found["etc/.wh.gone"].size == 0
    assert "etc/.wh..wh..opq" in found
    assert "etc/gone" not in found


def test_owners_are_those_inside_the_container(layer: Path) -> None:
    for member in members(layer).values():
        assert (member.uid, member.gid) == (0, 0)
    if os.geteuid() == 0:
        os.chown(layer / "grün", 100_033, 100_005)
        shifted = members(layer, base_id=100_000)
        assert (shifted["grün"].uid, shifted["grün"].gid) == (33, 5)
        assert shifted["fifo"].uid == 0


def test_closed_files_and_directories_are_read_and_stay_closed(layer: Path) -> None:
    open_digest = members(layer)
    os.chmod(layer / "etc/passwd", 0)
    os.chmod(layer / "etc", 0)
    found = members(layer)
    assert found.keys() == open_digest.keys()
    assert found["etc/passwd"].size == 9
    assert os.stat(layer / "etc").st_mode & 0o777 == 0
    os.chmod(layer / "etc", 0o755)
    assert os.stat(layer / "etc/passwd").st_mode & 0o777 == 0


def test_sockets_are_left_out(layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = archive.digest(str(layer))
    monkeypatch.chdir(layer)
    times = os.stat(layer)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("socket")
        os.utime(layer, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert archive.digest(str(layer)) == before


def test_extended_attributes_are_kept_and_overlayfs_own_are_not(layer: Path) -> None:
    try:
        os.setxattr(layer / "etc/passwd", "user.colour", b"blue")
        os.setxattr(layer / "etc/passwd", "user.overlay.origin", b"x")
    except OSError as error:
        pytest.skip(f"the temporary directory has no extended attributes: {error.strerror}")
    headers = members(layer)["etc/passwd"].pax_headers
    assert headers["SCHILY.xattr.user.colour"] == "blue"
    assert not any("overlay" in name for name in headers)
