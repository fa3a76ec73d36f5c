"""What only a process inside of namespaces is told: it enters those of a container and prints what it sees, as JSON.

It enters the user, UTS and network namespaces. Its files stay the host's, and no process of the container can see it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import struct
import sys
from typing import Any

from cellstack_guest import confine
from cellstack_runtime import abi

_REQUEST = struct.Struct("16s24x")  # struct ifreq: a name, and what the kernel answers
_IPV4 = slice(20, 24)  # of a struct sockaddr_in behind the name
_SCOPES = "/proc/thread-self/net/if_inet6"


def main(wanted: str) -> None:
    """Enter {"pid": of a process, "namespaces": {kind: inode number}}, print {"hostname", "interfaces"}."""
    request = json.loads(wanted)
    opened = {kind: os.open(f"/proc/{request['pid']}/ns/{kind}", os.O_RDONLY) for kind in request["namespaces"]}
    for kind, fd in opened.items():
        if os.fstat(fd).st_ino != request["namespaces"][kind]:
            raise SystemExit("the process is another one now")
    for kind, flag in (("user", abi.CLONE_NEWUSER), ("uts", abi.CLONE_NEWUTS), ("net", abi.CLONE_NEWNET)):
        confine.setns(opened[kind], flag)
    json.dump({"hostname": socket.gethostname(), "interfaces": interfaces()}, sys.stdout)


def interfaces() -> list[dict[str, Any]]:
    """Return the interfaces of this network namespace: {"name", "addresses", "up"}."""
    addresses: dict[str, list[str]] = {}
    with contextlib.suppress(FileNotFoundError), open(_SCOPES, encoding="utf-8") as file:  # without IPv6 there is none
        for line in file:
            address, _, prefix, _, _, name = line.split()
            text = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address))
            addresses.setdefault(name, []).append(f"{text}/{int(prefix, 16)}")
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            flags = struct.unpack_from("H", _ask(sock, abi.SIOCGIFFLAGS, name), 16)[0]
            with contextlib.suppress(OSError):  # it has no IPv4 address
                address = socket.inet_ntoa(_ask(sock, abi.SIOCGIFADDR, name)[_IPV4])
                mask = int.from_bytes(_ask(sock, abi.SIOCGIFNETMASK, name)[_IPV4], "big")
                addresses.setdefault(name, []).insert(0, f"{address}/{mask.bit_count()}")
            found.append({"name": name, "addresses": addresses.get(name, []), "up": bool(flags & abi.IFF_UP)})
    return found


def _ask(sock: socket.socket, request: int, name: str) -> bytes:
    return fcntl.ioctl(sock, request, _REQUEST.pack(name.encode()))
