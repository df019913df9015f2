"""Ports that two programs want: finds out which program has one, and lets testers take turns.

Some attempts ignore PORT and have a fixed port of their own. Two attempts with the same port can't
run at once. Most fail ("Address already in use"). Those that set SO_REUSEPORT do worse: they share
the port, and each gets some of the other's clients. So a tester claims such a port before it starts
its attempt, or as soon as it sees the port, and other testers wait. An attempt that takes the port
it is given waits for nobody.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import shlex
import socket
import struct
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from tester.attempt.family import GONE, MARKER

TURN = 65.0  # Seconds to wait for one holder of a port: Linux keeps closed connections for 60 s.
SAY_AFTER = 0.2  # Seconds of waiting after which we say what we wait for.
POLL = 0.1  # Seconds between two looks at the table of sockets.
ASKING = 5.0  # Seconds that a server has to show that it speaks HTTP.
MOST_FILES, LARGEST_FILE = 200, 256 * 1024  # The attempt's own files that we read.
MOST_LETTERS = 100  # Characters of a command line that are shown: beginning and end.
IN_USE = re.compile(r"address (is )?already in use|EADDRINUSE|AddrInUse", re.IGNORECASE)
PORT_NUMBER = re.compile(r"(?<!line )(?<!RFC )\b[1-9][0-9]{3,4}\b")
READS_ENVIRONMENT = re.compile(r"environ|getenv|process\.env|env::|\bENV\b|\$\{?PORT")


@dataclass(frozen=True)
class Holder:
    """A program that has a port, or whatever else keeps it busy."""

    kind: str
    """`program`, `tester` (a tester or its attempt), `connections` (closed ones) or `nobody`."""
    port: int = 0
    who: str = ""
    """The number and the command line of the process."""

    @property
    def name(self) -> str:
        """Its name, in words that end "Port 4221 is taken by …"."""
        if self.kind == "connections":
            return "connections that a server closed a moment ago"
        return f"another {self.kind} ({self.who})"

    @property
    def advice(self) -> str:
        """What is wrong and what to do, in one sentence."""
        if self.kind == "nobody":
            return (
                "If no other program has this port, the system still keeps it for the connections"
                " of your last run: set SO_REUSEADDR before bind, or read the port from the"
                " environment variable PORT"
            )
        cure = "stop it"
        if self.kind == "connections":
            cure = "set SO_REUSEADDR before bind"
        return (
            f"Port {self.port} is taken by {self.name}:"
            f" {cure}, or read the port from the environment variable PORT"
        )


class PortTaken(Exception):
    """A port that we can't have; `holder` says why."""

    def __init__(self, message: str, holder: Holder) -> None:
        """Keep the reason, and the holder for those who can do something about it."""
        super().__init__(message)
        self.holder = holder


class Socket(NamedTuple):
    """A row of the system's table of TCP sockets."""

    host: str
    port: int
    listens: bool
    pid: int | None
    """Its process; None for a connection that has ended, or a process that we may not see."""


def _sockets() -> Iterator[Socket]:
    """Yield the rows of the system's table."""
    try:
        rows: list[tuple[Any, int | None]]
        rows = [(row, row.pid) for row in psutil.net_connections("tcp")]
    except psutil.AccessDenied:  # macOS shows us only our own processes.
        rows = []
        for process in psutil.process_iter():
            with contextlib.suppress(*GONE):
                rows += [(row, process.pid) for row in process.net_connections("tcp")]
    for row, pid in rows:
        if row.laddr:
            yield Socket(row.laddr.ip, row.laddr.port, row.status == psutil.CONN_LISTEN, pid)


def _name_process(pid: int) -> str:
    """Return the number and the command line of a process."""
    with contextlib.suppress(*GONE):
        words = shlex.join(psutil.Process(pid).cmdline())
        if len(words) > MOST_LETTERS:
            words = f"{words[: MOST_LETTERS // 3]}…{words[-MOST_LETTERS * 2 // 3 :]}"
        return f"process {pid}: {words}"
    return f"process {pid}"


def _name_holder(found: Socket) -> Holder:
    """Return what holds this socket."""
    if found.pid is None:
        if found.listens:
            return Holder("program", found.port, "which belongs to another user")
        return Holder("connections", found.port)
    kind = "program"
    try:
        kind = "tester" if MARKER in psutil.Process(found.pid).environ() else "program"
    except psutil.AccessDenied:
        pass
    except GONE:  # It has just ended: only its connections are left.
        return Holder("connections", found.port)
    return Holder(kind, found.port, _name_process(found.pid))


def find_holder(wanted: Iterable[int]) -> Holder | None:
    """Return what holds one of the `wanted` ports: a listener rather than a connection.

    If nothing does, return another tester's attempt that has a port of its own: it is the likely
    one.
    """
    order = {port: index for index, port in reversed([*enumerate(wanted)])}
    sockets = [*_sockets()]
    found = [one for one in sockets if one.port in order]
    found.sort(key=lambda one: (not one.listens, order[one.port], one.pid is None))
    found += [one for one in sockets if one.listens and one.pid and _has_own_port(one)]
    return _name_holder(found[0]) if found else None


def _has_own_port(listener: Socket) -> bool:
    """Return whether a tester started this listener but gave it another port."""
    with contextlib.suppress(*GONE):
        environment = psutil.Process(listener.pid).environ()
        return MARKER in environment and environment.get("PORT") != str(listener.port)
    return False


def find_rival(host: str, port: int, own: Collection[int]) -> Holder | None:
    """Return what else listens where our attempt does, apart from its `own` processes."""
    for one in _sockets():
        if one.port == port and one.listens and one.pid not in own and _overlap(one.host, host):
            return _name_holder(one)
    return None


def _overlap(one: str, other: str) -> bool:
    """Return whether a client of one address may reach a listener on the other one."""
    both = {one, other}
    return len(both) == 1 or "::" in both or ("0.0.0.0" in both and ":" not in one + other)


def speaks_http(host: str, port: int) -> bool:
    """Ask once, and return whether the listener there answers in HTTP.

    We read everything that comes, and reset the connection so that it leaves no trace in the
    system's table: neither a fragile server nor a second start on that port must suffer.
    """
    said, deadline = b"", time.monotonic() + ASKING
    name = f"[{host}]" if ":" in host else host
    with contextlib.suppress(OSError), socket.create_connection((host, port), ASKING) as connection:
        connection.settimeout(ASKING)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        while time.monotonic() < deadline and (data := connection.recv(65536)):
            said = said or data
    return said.startswith(b"HTTP/")


def read_program(command: Iterable[str], folder: Path | None) -> str:
    """Return the text of a program: of the files in its command, and of those in its folder."""
    files = [Path(folder or "/", word) for word in command]
    if folder:
        files += itertools.islice(itertools.chain(folder.glob("*"), folder.glob("*/*")), MOST_FILES)
    text = ""
    for path in files:
        with contextlib.suppress(OSError, ValueError):
            if path.is_file() and path.stat().st_size <= LARGEST_FILE:
                text += path.read_text(encoding="utf-8", errors="replace") + "\n"
    return text


def find_numbers(text: str) -> list[int]:
    """Return the numbers in `text` that may be ports, in order; powers of two, as 4096, are not."""
    numbers = dict.fromkeys(map(int, PORT_NUMBER.findall(text)))
    return [number for number in numbers if 1024 < number < 65536 and number & (number - 1)]


def guess_own_ports(program: str) -> list[int]:
    """Return the ports of its own that a program, judged by its text, may have.

    None if it reads PORT.
    """
    return [] if READS_ENVIRONMENT.search(program) else find_numbers(program)


def reads_port(program: str) -> bool:
    """Return whether a program, judged by its text, is likely to read PORT from its environment."""
    return bool(READS_ENVIRONMENT.search(program) and re.search(r"\bPORT\b", program))


class Turn:
    """The right to run an attempt that has a port of its own: one tester has it at a time.

    A claim is a socket with a name in Linux's abstract name space. It needs no file, it ends with
    its process, however that ends, and a tester that waits can connect to it, to learn which
    process has it and when it ends. On other systems every claim is granted: of two attempts with
    the same port, the second fails, and its verdict names the first.
    """

    def __init__(self, over: Callable[[], bool]) -> None:
        """Hold nothing yet; waiting ends early when the run is `over`."""
        self._over = over
        self._claims: dict[int, socket.socket] = {}

    def take(self, port: int) -> bool:
        """Claim `port` unless another tester has it; return whether it is ours."""
        if port in self._claims or sys.platform != "linux":
            return True
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(_claim_name(port))
            claim.listen(128)
        except OSError:
            claim.close()
            return False
        self._claims[port] = claim
        return True

    def release(self, keep: int | None = None) -> None:
        """Let go of all claims except the one on `keep`."""
        for port in [port for port in self._claims if port != keep]:
            self._claims.pop(port).close()

    def wait_for(self, ports: Iterable[int]) -> None:
        """Claim `ports`, each as soon as other testers let go of it. Raises PortTaken."""
        for port in sorted(ports):  # All testers in the same order: so no two wait for each other.
            while not self.take(port) and not self._over():
                with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
                    line.settimeout(POLL)
                    line.connect(_claim_name(port))
                    self._wait_while(functools.partial(_claimant, line, port, _peer(line)))

    def wait_until_free(self, port: int) -> None:
        """Wait until no other tester, and no connection that has ended, keeps `port` busy.

        Raises PortTaken, at once if any other program has the port.
        """

        def find() -> Holder | None:
            """Return what holds the port; raise PortTaken for another program."""
            holder = find_holder([port])
            if holder and holder.kind == "program":
                raise PortTaken(holder.advice, holder)
            return holder

        self._wait_while(find, pause=POLL)

    def wait_until_alone(self, host: str, port: int, own: Collection[int]) -> None:
        """Wait until no other tester's attempt listens where our `own` processes do.

        Raises PortTaken, at once if any other program does, which SO_REUSEPORT allows.
        """

        def find() -> Holder | None:
            """Return another listener; raise PortTaken for another program."""
            rival = find_rival(host, port, own)
            if rival and rival.kind == "program":
                message = (
                    f"port {port} is shared by two programs (SO_REUSEPORT), so that each gets some"
                    f" of the other's clients: stop {rival.name}"
                )
                raise PortTaken(message, rival)
            return rival

        self._wait_while(find, pause=POLL)

    def _wait_while(self, find: Callable[[], Holder | None], pause: float = 0.0) -> None:
        """Wait until `find`, called every `pause` seconds, returns None. Raises PortTaken.

        If it takes longer than a moment, standard error says what we wait for.
        """
        last, since, told = None, 0.0, False
        while (holder := find()) and not self._over():
            now = time.monotonic()
            if holder != last:
                last, since, told = holder, now, False
            if not told and now - since >= SAY_AFTER:
                told = True
                sys.stderr.write(
                    f"Port {holder.port} is taken by {holder.name}."
                    f" Waiting for it, up to {TURN:g} s.\n"
                )
            if now - since > TURN:
                message = f"port {holder.port} is still taken after {TURN:g} s by {holder.name}"
                raise PortTaken(message, holder)
            time.sleep(pause)


def _claim_name(port: int) -> str:
    """Return the socket name of the claim on `port`."""
    return f"\0http-tester-port-{port}"


def _peer(line: socket.socket) -> int:
    """Return the number of the process at the other end of a local connection."""
    credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[0]


def _claimant(line: socket.socket, port: int, pid: int) -> Holder | None:
    """Return the tester that claims `port`, after POLL seconds; None as soon as it lets go."""
    try:
        line.recv(1)
    except TimeoutError:
        return Holder("tester", port, _name_process(pid))
    except OSError:
        pass
    return None
