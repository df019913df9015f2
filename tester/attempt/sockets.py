"""The system's table of sockets: which process listens where."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Iterator

import psutil

from tester.attempt.family import GONE
from tester.wire.connection import Address

LISTENS = "0A"  # The state LISTEN in that table.


def free_port() -> int:
    """Return a port on which nothing is listening at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def open_sockets(pids: Iterable[int]) -> set[str]:
    """Return the numbers (inodes) of the sockets that the processes have open. On Linux only."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as files:
            for file in files:
                with contextlib.suppress(OSError):
                    name = os.readlink(file.path)
                    if name.startswith("socket:["):
                        found.add(name[8:-1])
    return found


def read_listening(pids: Iterable[int]) -> dict[str, Address]:
    """Return where the processes listen, by the numbers of their sockets. On Linux only.

    There it is much quicker than `ask_listening`: the table may hold many thousands of connections
    that have ended.
    """
    mine, found = open_sockets(pids), {}
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for words in _rows_that_listen(table) if mine else ():
            if words[9] in mine:
                host, _, port = words[1].partition(":")
                parts = [int(host[i : i + 8], 16) for i in range(0, len(host), 8)]
                data = struct.pack(f"={len(parts)}I", *parts)
                found[words[9]] = _address(socket.inet_ntop(family, data), int(port, 16))
    return found


def _rows_that_listen(table: str) -> Iterator[list[str]]:
    """Yield the rows in the state LISTEN of the system's `table` of TCP sockets.

    Linux lists them before all others, which may be many thousands. The others are not read.
    """
    with contextlib.suppress(OSError), open(f"/proc/net/{table}") as file:
        file.readline()  # The names of the columns.
        for line in file:
            words = line.split()
            if words[3] != LISTENS:
                break
            yield words


def ask_listening(pids: Iterable[int]) -> dict[str, Address]:
    """Return where the processes listen, by texts that stand for their sockets."""
    found = {}
    for pid in pids:
        with contextlib.suppress(*GONE):
            for connection in psutil.Process(pid).net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    found[f"{pid} {connection.fd}"] = _address(*connection.laddr)
    return found


def _address(bound: str, port: int) -> Address:
    """Return the address to connect to, for a socket that is bound to `bound`."""
    return Address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bound, bound), port, bound)
