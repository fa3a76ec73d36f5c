"""What a container may not do: capabilities, system calls, paths.

The host's side, which prepares; the container's processes apply it to themselves (cellstack_guest.confine).
"""

from __future__ import annotations

import errno
import hashlib
import platform
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellstack_runtime.errors import HostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# capabilities(7), in the order of their numbers
_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
CAPABILITIES = {name: number for number, name in enumerate(_NAMES)}
# https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
DOCKER_CAPABILITIES = frozenset(
    CAPABILITIES[name]
    for name in (
        "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP "
        "SETUID SYS_CHROOT"
    ).split()
)

# The paths docker masks and makes read-only (oci/defaults.go of moby).
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_NOT_ZYGOTE = "ptrace process_vm_readv process_vm_writev"
_ONLY_ZYGOTE = "process_madvise setns"  # what a process forked from it does before it becomes a cell
PROFILE_VERSION = 3
_CLONE_NAMESPACES = 0x7E020000
_AF_VSOCK, _AF_ALG = 40, 38
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

# An allow-list in the manner of docker's default profile: what is not here is refused with EPERM.
_ALLOWED = """
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_adjtime
clock_getres clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod
fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat
fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list
get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid
getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt
gettid gettimeofday getuid getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
io_destroy io_getevents io_pgetevents io_setup io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule
landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr llistxattr lremovexattr
lseek lsetxattr lstat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod
mknodat mlock mlock2 mlockall mmap modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend
mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat
open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl
pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pwrite64 pwritev pwritev2 read readahead readlink
readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2 restart_syscall
rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler
sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_robust_list
set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid
setresuid setreuid setrlimit setsid setsockopt setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack
signalfd signalfd4 socketpair splice stat statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee
tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork vmsplice wait4 waitid
write writev process_vm_readv process_vm_writev ptrace
"""
# What a capability allows on top, as in docker's profile.
_BY_CAPABILITY = {
    "DAC_READ_SEARCH": "open_by_handle_at",
    "SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
    "mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns "
    "syslog umount umount2 unshare pivot_root",
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module finit_module init_module",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "SYS_RAWIO": "iopl ioperm",
    "SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "SYS_TTY_CONFIG": "vhangup",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "SYSLOG": "syslog",
    "BPF": "bpf",
    "PERFMON": "perf_event_open",
}


def parse_capabilities(add: Iterable[str] = (), drop: Iterable[str] = ()) -> frozenset[int]:
    """Return docker's default capabilities with `drop` taken away and `add` added; "ALL" is all of them.

    Names with or without CAP_, in any case. UsageError names one that does not exist.
    """
    dropped, added = _numbers(drop), _numbers(add)
    return (DOCKER_CAPABILITIES - dropped) | added


def _numbers(names: Iterable[str]) -> frozenset[int]:
    numbers: set[int] = set()
    for given in names:
        name = given.upper().removeprefix("CAP_")
        if name == "ALL":
            numbers.update(CAPABILITIES.values())
        elif name in CAPABILITIES:
            numbers.add(CAPABILITIES[name])
        else:
            raise UsageError(f"{given!r} is not a capability", hint="capabilities(7) lists them, e.g. NET_RAW or ALL")
    return frozenset(numbers)


def seccomp_program(cache_dir: str | Path, capabilities: frozenset[int] = frozenset()) -> bytes:
    """Return the seccomp filter for the program of a container with `capabilities`, an array of struct sock_filter.

    Compiled by libseccomp once and kept in `cache_dir`, like the others. HostError when libseccomp is missing.
    """
    return _cached(cache_dir, (sorted(capabilities),), lambda seccomp: _profile(seccomp, capabilities, _names()))


def zygote_program(cache_dir: str | Path) -> bytes:
    """Return the filter for a zygote: it may enter the containers its cells go to, and look into no process."""
    names = (_names() | set(_ONLY_ZYGOTE.split())) - set(_NOT_ZYGOTE.split())
    return _cached(cache_dir, (sorted(names),), lambda seccomp: _profile(seccomp, frozenset(), names))


def joined_program(cache_dir: str | Path) -> bytes:
    """Return the filter for a program that joins a cell's container: what the cell's two filters leave it."""
    names = _names() - set(_NOT_ZYGOTE.split())
    return _cached(cache_dir, (sorted(names),), lambda seccomp: _profile(seccomp, frozenset(), names))


def cell_program(cache_dir: str | Path) -> bytes:
    """Return the filter for a cell, on top of its zygote's: it is small, as each cell's process loads it anew."""

    def rules(seccomp: Any) -> Any:
        rules = seccomp.SyscallFilter(seccomp.ALLOW)
        for name in _ONLY_ZYGOTE.split():
            rules.add_rule(seccomp.ERRNO(errno.EPERM), name)
        return rules

    return _cached(cache_dir, _ONLY_ZYGOTE, rules)


def _cached(cache_dir: str | Path, which: object, make: Callable[[Any], Any]) -> bytes:
    profile = repr((PROFILE_VERSION, platform.machine(), _ALLOWED, which))
    path = Path(cache_dir) / f"seccomp-{hashlib.sha256(profile.encode()).hexdigest()[:16]}.bpf"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        program = _compile(make)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{secrets.token_hex(4)}.new")
    partial.write_bytes(program)
    partial.rename(path)
    return program


def _compile(make: Callable[[Any], Any]) -> bytes:
    try:
        import pyseccomp as seccomp  # noqa: PLC0415  loads libseccomp, which the host may lack
    except (ImportError, OSError, RuntimeError) as error:
        raise HostError(
            f"libseccomp cannot be loaded ({error})", hint="Install it: the Debian package is libseccomp2"
        ) from None
    rules = make(seccomp)
    rules.set_attr(seccomp.Attr.CTL_NNP, 0)  # set by the process itself
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _names() -> set[str]:
    return set(_ALLOWED.split())


def _profile(seccomp: Any, capabilities: frozenset[int], names: set[str]) -> Any:
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name, calls in _BY_CAPABILITY.items():
        if CAPABILITIES[name] in capabilities:
            names.update(calls.split())
    for name in sorted(names):
        _allow(seccomp, rules, name)
    for value in _PERSONALITIES:
        rules.add_rule(seccomp.ALLOW, "personality", seccomp.Arg(0, seccomp.EQ, value))
    for family in (_AF_ALG, _AF_VSOCK):
        rules.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), "socket", seccomp.Arg(0, seccomp.EQ, family))
    # All families but those two: a rule that matches on one argument twice is not possible.
    rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.LT, _AF_ALG))
    rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, _AF_ALG + 1))
    rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.GT, _AF_VSOCK))
    if "clone" not in names:
        rules.add_rule(seccomp.ALLOW, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_NAMESPACES, 0))
        # clone3 takes its flags by a pointer that a filter cannot follow: libc falls back to clone on ENOSYS.
        rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    return rules


def _allow(seccomp: Any, rules: Any, name: str) -> None:
    """Allow a call; one that this architecture or this libseccomp does not know stays refused."""
    try:
        rules.add_rule(seccomp.ALLOW, name)
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EINVAL, errno.EDOM, errno.EFAULT):
            raise
