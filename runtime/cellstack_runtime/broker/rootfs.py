"""Root filesystems, put together in the broker's own mount namespace.

A tree is mounted below a directory of the run, cloned as one detached tree (its descriptor goes to init or to the
zygote) and unmounted again: this works on every kernel that has open_tree, whereas assembling on a detached tree
needs Linux 6.15.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellstack_runtime import abi, syscalls

if TYPE_CHECKING:
    from collections.abc import Sequence

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
SKELETON = ("dev", "proc", "sys", "tmp", "work", "run/cellstack", "root", "etc")
DATA_PAGE = 4000  # mount(2) takes one page of options


@dataclass(frozen=True, slots=True)
class Overlay:
    """An overlay mount: `lowers` top first; without upper it is read-only."""

    lowers: tuple[str, ...]
    upper: str | None = None
    work: str | None = None

    def mount(self, target: str, *, user: bool) -> None:
        """Mount at `target`; `user` says that the caller is not root on the host (userxattr)."""
        try:
            self._mount_by_descriptor(target, user=user)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            # Before Linux 6.5 there is no "lowerdir+"; the old string then says what is really wrong.
            self._mount_by_string(target, user=user)

    def _mount_by_descriptor(self, target: str, *, user: bool) -> None:
        context = syscalls.fsopen("overlay")
        try:
            for lower in self.lowers:
                syscalls.fsconfig_string(context, "lowerdir+", lower)
            if self.upper and self.work:
                syscalls.fsconfig_string(context, "upperdir", self.upper)
                syscalls.fsconfig_string(context, "workdir", self.work)
                syscalls.fsconfig_flag(context, "volatile")
            if user:
                syscalls.fsconfig_flag(context, "userxattr")
            syscalls.fsconfig_create(context)
            mounted = syscalls.fsmount(context)
        finally:
            os.close(context)
        try:
            syscalls.move_mount(mounted, target)
        finally:
            os.close(mounted)

    def _mount_by_string(self, target: str, *, user: bool) -> None:
        """One page of options: paths relative to their common folder, so that some hundred layers fit."""
        paths = [*self.lowers, *filter(None, (self.upper, self.work))]
        base = os.path.commonpath(paths)
        relative = [os.path.relpath(path, base).replace(":", "\\:") for path in paths]
        options = "lowerdir=" + ":".join(relative[: len(self.lowers)])
        if self.upper:
            options += f",upperdir={relative[-2]},workdir={relative[-1]},volatile"
        if user:
            options += ",userxattr"
        if len(options) > DATA_PAGE:
            raise OSError(errno.E2BIG, f"{len(self.lowers)} layers need {len(options)} bytes of mount options")
        before = os.open(".", os.O_PATH | os.O_CLOEXEC)
        try:
            os.chdir(base)
            syscalls.mount("overlay", target, "overlay", 0, options)
        finally:
            os.fchdir(before)
            os.close(before)


class Roots:
    """Makes root filesystems for one broker. `base_id` is the host id of a container's root as root, else None."""

    def __init__(self, run_dir: str, base_id: int | None) -> None:
        self.run_dir = run_dir
        self.user = base_id is None
        self.base_id = base_id or 0
        self._idmapped: dict[str, str] = {}
        self._userns: int | None = None
        self.skeleton = self._directory("skeleton")
        for name in SKELETON:
            self._own(self._makedirs(f"{self.skeleton}/{name}"))
        os.chmod(f"{self.skeleton}/tmp", 0o1777)  # noqa: S103, S108  the container's
        self.empty = self._directory("empty")
        self._own(self.empty)
        self.scratch = self._directory("scratch")  # where roots are put together
        self.dev = self._directory("dev")
        self._make_dev()

    def use_namespace(self, userns: int) -> None:
        """Take the id mapping of `userns` (a descriptor) for the idmapped mounts to come."""
        self._userns = userns

    def _directory(self, name: str) -> str:
        return self._makedirs(f"{self.run_dir}/{name}")

    def _makedirs(self, path: str) -> str:
        os.makedirs(path, mode=0o755, exist_ok=True)
        return path

    def _own(self, path: str) -> None:
        if not self.user:
            os.chown(path, self.base_id, self.base_id, follow_symlinks=False)

    def owned_directory(self, path: str) -> None:
        """Make a directory that belongs to the containers' root."""
        os.mkdir(path, 0o755)
        self._own(path)

    def _make_dev(self) -> None:
        """Make /dev once; containers get clones of the mount, read-only."""
        syscalls.mount("tmpfs", self.dev, "tmpfs", abi.MS_NOSUID | abi.MS_NOEXEC, "mode=755,size=64k")
        for name, (major, minor) in DEVICES.items():
            path = f"{self.dev}/{name}"
            if self.user:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
                syscalls.mount(f"/dev/{name}", path, None, abi.MS_BIND)
            else:
                os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
                os.chmod(path, 0o666)  # noqa: S103  devices everybody may use
                self._own(path)
        for name, target in DEVICE_LINKS.items():
            os.symlink(target, f"{self.dev}/{name}")
        for name in ("shm", "pts", "mqueue"):
            os.mkdir(f"{self.dev}/{name}")
        syscalls.mount("none", self.dev, None, abi.MS_REMOUNT | abi.MS_RDONLY | abi.MS_NOSUID | abi.MS_NOEXEC)

    def mapped(self, path: str) -> str:
        """Return a path that shows the tree at `path` with the containers' ids (the path itself when rootless)."""
        if self.user:
            return path
        if path not in self._idmapped:
            target = self._directory(f"idmapped/{len(self._idmapped)}")
            if self._userns is None:
                raise RuntimeError("an idmapped mount before the guest user namespace")
            tree = syscalls.open_tree(path)
            try:
                syscalls.mount_setattr(tree, abi.MOUNT_ATTR_IDMAP, userns_fd=self._userns)
                syscalls.move_mount(tree, target)
            except OSError as error:
                # A file system without idmapped mounts (an overlay, a network file system): what is readable by
                # everybody stays readable, the rest is not.
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
                syscalls.mount(path, target, None, abi.MS_BIND)
            finally:
                os.close(tree)
            self._idmapped[path] = target
        return self._idmapped[path]

    def attach(self, source: str, target: str, *, recursive: bool = True, read_only: bool = False) -> None:
        """Bind `source` at `target`."""
        tree = syscalls.open_tree(source, recursive=recursive)
        try:
            if read_only:
                syscalls.mount_setattr(
                    tree, abi.MOUNT_ATTR_RDONLY | abi.MOUNT_ATTR_NOSUID | abi.MOUNT_ATTR_NODEV, recursive=recursive
                )
            syscalls.move_mount(tree, target)
        finally:
            os.close(tree)

    def overlay(self, lowers: Sequence[str], target: str, *, upper: str | None = None, work: str | None = None) -> None:
        """Mount an overlay of `lowers` (top first) at `target`; an empty directory stands in for no lowers."""
        Overlay(tuple(lowers) or (self.empty,), upper, work).mount(target, user=self.user)

    def detach(self, target: str) -> int:
        """Return the tree mounted at `target` as a descriptor and unmount it here."""
        tree = syscalls.open_tree(target, recursive=True)
        syscalls.umount2(target)
        return tree

    def guest_files(self, guest: str, state: str) -> str:
        """Mount what every container of this run finds at /run/cellstack; return where it is mounted."""
        target = self._directory("guest")
        syscalls.mount("tmpfs", target, "tmpfs", abi.MS_NOSUID | abi.MS_NODEV, "mode=755,size=16k")
        for name in ("guest", "state", "out"):
            os.mkdir(f"{target}/{name}")
        self.attach(self.mapped(guest), f"{target}/guest", read_only=True)
        self.attach(state, f"{target}/state", read_only=True)
        syscalls.mount("none", target, None, abi.MS_REMOUNT | abi.MS_RDONLY | abi.MS_NOSUID | abi.MS_NODEV)
        return target

    def pod(self) -> int:
        """Return the spawner's root, an almost empty tmpfs, as a descriptor."""
        target = self._directory("pod")
        syscalls.mount("tmpfs", target, "tmpfs", abi.MS_NOSUID | abi.MS_NODEV, "mode=755,size=16k")
        for name in ("proc", "sys", "new", "empty"):
            os.mkdir(f"{target}/{name}")
        return self.detach(target)
