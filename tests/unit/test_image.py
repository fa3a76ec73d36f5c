"""The default image, made from a small environment that the test lays out."""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from cellstack_runtime import archive
from cellstack_runtime.image import default, elf, ensure_default, environment, guest_directory, layers
from cellstack_runtime.image.environment import Environment, Source
from cellstack_runtime.image.tree import Tree
from cellstack_runtime.store import Image, Store

VERSION = "3.11"


@pytest.fixture(name="own", scope="module")
def _own(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(str(tmp_path_factory.mktemp("image") / "store"))


@pytest.fixture(name="host")
def _host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """A base prefix, a virtual environment and two editable projects."""
    site = tmp_path / "venv/lib/python3.11/site-packages"
    files = {
        "python/lib/python3.11/os.py": "landmark = 1\n",
        "python/lib/python3.11/test/big.py": "",
        "python/lib/python3.11/site-packages/hidden.py": "",
        "venv/bin/tool": f"#!{tmp_path}/venv/bin/python\nprint('{tmp_path}/venv2')\n",
        "venv/pyvenv.cfg": f"home = {tmp_path}/python/bin\n",
        "venv/lib/python3.11/site-packages/package/__init__.py": "x = 1\n",
        "venv/lib/python3.11/site-packages/_project.pth": f"{tmp_path}/project/src\n",
        "venv/lib/python3.11/site-packages/__editable___flat_finder.py": f"M = {{'flat': '{tmp_path}/flat/flat'}}\n",
        "venv/lib/python3.11/site-packages/project-1.dist-info/direct_url.json": json.dumps(
            {"url": f"file://{tmp_path}/project/src"}
        ),
        "project/src/module/__init__.py": "y = 1\n",
        "project/src/data/huge.bin": "not Python",
        "project/src/.git/config": "",
        "project/src/.env": "SECRET=1",
        "flat/flat/__init__.py": "z = 1\n",
        "outside/file.txt": "from outside",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    os.symlink(tmp_path / "outside", site / "package/outside")
    os.symlink("__init__.py", site / "package/alias.py")
    os.symlink(sys.executable, tmp_path / "venv/bin/python")
    inner = [f"{tmp_path}/venv", f"{tmp_path}/python"]
    named = dict.fromkeys(environment._named_by(str(site), inner))
    host = Environment(
        version=VERSION,
        prefix=f"{tmp_path}/venv",
        base=f"{tmp_path}/python",
        executable=os.path.realpath(sys.executable),
        stdlib=f"{tmp_path}/python/lib/python3.11",
        site=(str(site),),
        user=None,
        sources=environment._numbered(named),
        extra_path=(),
    )
    monkeypatch.setattr(environment, "current", lambda: host)
    return host


class View:
    """Looks up paths in an image as its overlay would; images of the tests have no whiteouts."""

    def __init__(self, store: Store, image: Image) -> None:
        self.folders = store.lowers(image, None, "root")

    def path(self, inside: str) -> Path:
        return next((Path(f + inside) for f in self.folders if os.path.lexists(f + inside)), Path("/nowhere") / inside)

    def has(self, inside: str) -> bool:
        return any(os.path.lexists(folder + inside) for folder in self.folders)


SITE = "/opt/venv/lib/python3.11/site-packages"


def test_environment_is_mirrored(own: Store, host: Environment) -> None:
    image = ensure_default(own)
    view = View(own, image)
    assert own.image("default") == image
    assert image.config["cellstack"]["python"] == "/opt/venv/bin/python"
    assert os.readlink(view.path("/opt/venv/bin/python")) == "/usr/local/bin/python3.11"
    assert view.path("/usr/local/bin/python3.11").stat().st_size == os.stat(host.executable).st_size
    assert view.has("/usr/local/lib/python3.11/os.py")
    assert not view.has("/usr/local/lib/python3.11/test")
    assert not view.has("/usr/local/lib/python3.11/site-packages")
    assert "home = /usr/local/bin\n" in view.path("/opt/venv/pyvenv.cfg").read_text()
    assert view.path(f"{SITE}/package/__init__.py").read_text() == "x = 1\n"
    assert view.has(f"{SITE}/package/__pycache__/__init__.{sys.implementation.cache_tag}.pyc")


def test_places_of_the_host_are_rewritten(own: Store, host: Environment) -> None:
    view = View(own, ensure_default(own))
    script = view.path("/opt/venv/bin/tool")
    assert script.read_text() == f"#!/opt/venv/bin/python\nprint('{host.prefix}2')\n"
    flat, src = (source.image for source in host.sources)
    assert (flat, src) == ("/opt/src/0-flat", "/opt/src/1-src")
    assert view.path(f"{SITE}/_project.pth").read_text() == f"{src}\n"
    assert f"'{flat}'" in view.path(f"{SITE}/__editable___flat_finder.py").read_text()
    assert f"file://{src}" in view.path(f"{SITE}/project-1.dist-info/direct_url.json").read_text()
    assert host.sys_path() == [SITE, src]


@pytest.mark.usefixtures("host")
def test_sources_are_copies_of_what_can_be_imported(own: Store, tmp_path: Path) -> None:
    view = View(own, ensure_default(own))
    assert view.path("/opt/src/0-flat/__init__.py").read_text() == "z = 1\n"
    module = view.path("/opt/src/1-src/module/__init__.py")
    assert module.read_text() == "y = 1\n"
    assert not module.samefile(tmp_path / "project/src/module/__init__.py")
    for name in ("data", ".git", ".env"):
        assert not view.has(f"/opt/src/1-src/{name}")


@pytest.mark.usefixtures("host")
def test_links_stay_links_inside_and_become_files_outside(own: Store, tmp_path: Path) -> None:
    view = View(own, ensure_default(own))
    assert os.readlink(view.path(f"{SITE}/package/alias.py")) == "__init__.py"
    assert view.path(f"{SITE}/package/outside/file.txt").read_text() == "from outside"
    for folder in view.folders:
        for path in Path(folder).rglob("*"):
            if path.is_symlink():
                assert str(tmp_path) not in os.readlink(path)


@pytest.mark.usefixtures("host")
def test_base_is_a_system_that_programs_run_in(own: Store) -> None:
    view = View(own, ensure_default(own))
    assert os.readlink(view.path("/bin")) == "usr/bin"
    for name in ("sh", "env", "ls", "cat"):
        assert os.access(view.path(f"/usr/bin/{name}"), os.X_OK)
    assert view.path("/etc/passwd").read_text().startswith("root:x:0:0:")
    assert (view.path("/tmp").stat().st_mode & 0o7777, view.path("/work").is_dir()) == (0o1777, True)
    resolver = elf.Resolver(sys.executable)
    libraries = layers._library_folder(resolver)
    for tool in view.path("/usr/bin").iterdir():
        for name in getattr(elf.read_elf(str(tool)), "needed", ()):
            assert view.has(f"{libraries}/{name}"), f"{tool.name} needs {name}"


@pytest.mark.usefixtures("host")
def test_nothing_is_built_while_nothing_changes(own: Store) -> None:
    lines: list[str] = []
    image = ensure_default(own, lines.append)
    assert ensure_default(own, lines.append) == image
    assert ensure_default(own, lines.append, check=False) == image
    assert len(lines) == 1
    assert lines[0].startswith("building the image cellstack/default from ")


def test_installed_package_rebuilds_its_layer_and_says_so(own: Store, host: Environment) -> None:
    before = ensure_default(own)
    (Path(host.site[0]) / "new.py").write_text("")
    lines: list[str] = []
    assert ensure_default(own, lines.append, check=False) == before
    after = ensure_default(own, lines.append)
    assert lines == ["the environment has changed: building the image cellstack/default anew"]
    assert [old == new for old, new in zip(before.layers, after.layers, strict=True)] == [True, False, True]
    assert View(own, after).has(f"{SITE}/new.py")
    assert own.image(before.id) == before


@pytest.mark.usefixtures("host")
def test_edited_source_rebuilds_only_the_sources(own: Store, tmp_path: Path) -> None:
    before = ensure_default(own)
    (tmp_path / "project/src/module/__init__.py").write_text("y = 22\n")
    (tmp_path / "project/src/data/huge.bin").write_text("changed, but not in the image")
    after = ensure_default(own)
    assert [old == new for old, new in zip(before.layers, after.layers, strict=True)] == [True, True, False]
    assert View(own, after).path("/opt/src/1-src/module/__init__.py").read_text() == "y = 22\n"


@pytest.mark.usefixtures("host")
def test_bytecode_does_not_count_as_a_change(own: Store, tmp_path: Path) -> None:
    before = ensure_default(own)
    cache = tmp_path / "project/src/module/__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_text("")
    assert ensure_default(own) == before


@pytest.mark.usefixtures("host")
def test_layers_have_the_digest_of_their_archive(own: Store) -> None:
    for layer in ensure_default(own).layers:
        assert own.layer(layer).digest == archive.digest(own.layer_path(layer, "root"))[0]


def _fail(_environment: Environment, root: str) -> None:
    os.mkdir(root)
    raise ZeroDivisionError


@pytest.mark.usefixtures("host")
def test_build_that_fails_leaves_nothing(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    images, known = own.images(), own.layers()
    with monkeypatch.context() as patch:
        patch.setattr(default, "build_base", _fail)
        with pytest.raises(ZeroDivisionError):
            ensure_default(own)
    assert (own.images(), own.layers()) == (images, known)
    assert os.listdir(f"{own.home}/build") == []
    assert ensure_default(own)


@pytest.mark.usefixtures("host")
def test_build_goes_on_where_one_was_cut_off(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {layer.id for layer in own.layers()}
    with monkeypatch.context() as patch:
        patch.setattr(default, "build_packages", lambda _environment, root, *_: _fail(_environment, root))
        with pytest.raises(ZeroDivisionError):
            ensure_default(own)
    (base,) = {layer.id for layer in own.layers()} - known
    assert ensure_default(own).layers[0] == base


@pytest.mark.usefixtures("host")
def test_two_that_need_it_at_once_build_it_once(own: Store) -> None:
    lines: list[str] = []
    found: list[Image] = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure_default(Store.open(own.home), lines.append)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines) == 1
    assert found[0] == found[1]


@pytest.mark.usefixtures("host")
def test_lost_layer_is_built_again(own: Store) -> None:
    image = ensure_default(own)
    own.remove_layer(image.layers[-1])
    again = ensure_default(Store.open(own.home))
    assert again.layers[:-1] == image.layers[:-1]
    assert View(own, again).has("/opt/src/0-flat/__init__.py")


def test_without_a_venv_packages_go_where_the_base_has_them(own: Store, host: Environment, tmp_path: Path) -> None:
    site = f"{host.base}/lib/python3.11/site-packages"
    plain = replace(host, prefix=host.base, site=(site,), sources=())
    root = tmp_path / "root"
    layers.build_packages(plain, str(root), "/nowhere", own.home)
    assert (root / "usr/local/lib/python3.11/site-packages/hidden.py").exists()
    assert plain.python == "/usr/local/bin/python3.11"


def test_files_of_others_are_copied(host: Environment, tmp_path: Path) -> None:
    tree = Tree(str(tmp_path / "root"), host.translator())
    tree._user = os.geteuid() + 1
    tree.mirror(host.stdlib, "/lib")
    copied = tmp_path / "root/lib/os.py"
    original = Path(host.stdlib) / "os.py"
    assert not copied.samefile(original)
    assert (copied.read_text(), copied.stat().st_mtime_ns) == (original.read_text(), original.stat().st_mtime_ns)


def test_home_is_never_taken_as_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home/me"))
    (tmp_path / "home/me/project").mkdir(parents=True)
    (tmp_path / "site").mkdir()
    for number, path in enumerate((tmp_path, tmp_path / "home/me", tmp_path / "home/me/project")):
        (tmp_path / f"site/{number}.pth").write_text(f"{path}\n")
    assert list(environment._named_by(str(tmp_path / "site"), [])) == [(f"{tmp_path}/home/me/project", True)]


def test_sources_within_others_need_no_place_of_their_own() -> None:
    found = [("/a/pkg", False), ("/a/pkg/inner", True), ("/a", True), ("/b/mod.py", False)]
    assert environment._numbered(found) == (
        Source("/a/pkg", "/opt/src/0-pkg", on_path=False),
        Source("/a", "/opt/src/1-a", on_path=True),
        Source("/b/mod.py", "/opt/src/2-mod.py", on_path=False),
    )


def test_elf_headers_are_read_and_other_files_are_none(tmp_path: Path) -> None:
    found = elf.read_elf(os.path.realpath(sys.executable))
    assert found is not None
    assert any(name.startswith("libc.") for name in found.needed)
    assert found.interpreter is not None
    (tmp_path / "text").write_text("#!/bin/sh\n")
    with open(sys.executable, "rb") as file:
        (tmp_path / "cut").write_bytes(file.read(200))
    (tmp_path / "wild").write_bytes(b"\x7fELF\x02\x01" + b"\xff" * 100)
    for name in ("text", "cut", "wild", "missing"):
        headers = elf.read_elf(str(tmp_path / name))
        assert headers is None or headers.needed == ()


def test_guest_directory_has_our_code_and_what_ipython_needs(own: Store) -> None:
    path = guest_directory(own)
    names = os.listdir(path)
    assert {"cellstack_guest", "IPython", "traitlets", "cloudpickle", "comm", "prompt_toolkit"} <= set(names)
    assert not [name for _, _, files in os.walk(path) for name in files if name.endswith(".so")]
    assert guest_directory(own) == path
    assert guest_directory(Store.open(own.home)) == path


def test_guest_directory_is_made_anew_when_our_code_changes(
    own: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "cellstack_guest"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr("cellstack_guest.__file__", str(package / "__init__.py"))
    before = guest_directory(own)
    (package / "more.py").write_text("")
    after = guest_directory(own)
    assert before != after
    assert not os.path.exists(f"{before}/cellstack_guest/more.py")
    assert not os.path.samefile(f"{after}/cellstack_guest/more.py", package / "more.py")


def test_the_folder_that_a_kernel_runs_in_is_no_part_of_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("notebooks", "lib"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((".", "../lib", "gone")))
    assert environment.current().extra_path == (f"{tmp_path}/lib",)
