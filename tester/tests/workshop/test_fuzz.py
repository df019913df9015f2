"""The fuzzer: it finds nothing on our server, and finds faults that are put into it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from tester.workshop.fuzz.explained import EXPLAINED, Explained, explain, find_difference
from tester.workshop.fuzz.hunt import Hunt, start_server
from tester.workshop.fuzz.readers import PEERS, load_server, read_with_ours

SEEDS = 2000  # Streams that are read in this process, and
WIRED = 150  # those of them that go over a real socket, too.


@pytest.fixture
def server() -> Iterator[ModuleType]:
    """Our last server as a module of its own for each test."""
    return load_server()


def test_finds_nothing_in_our_server(server: ModuleType) -> None:
    """What it reads otherwise than h11 and llhttp has a reason each time."""
    hunt = Hunt(server)
    assert [str(found) for seed in range(SEEDS) if (found := hunt.try_seed(seed))] == []
    assert hunt.counts["streams"] == SEEDS
    assert hunt.counts["requests understood"] > SEEDS / 2
    assert SEEDS / 4 < hunt.counts["streams that ended in a refusal"] < SEEDS * 3 / 4


def test_finds_nothing_over_the_wire(server: ModuleType) -> None:
    """The running server answers whole and in pieces what its code says."""
    with start_server() as running:
        hunt = Hunt(server, running.address)
        assert [str(found) for seed in range(WIRED) if (found := hunt.try_seed(seed))] == []
    assert hunt.counts["streams sent over the wire"] == 2 * WIRED


@pytest.mark.parametrize("case", EXPLAINED, ids=lambda case: f"{case.who}: {case.name}")
def test_each_difference_that_is_explained_is_there(server: ModuleType, case: Explained) -> None:
    """And is explained by the entry that bears its example."""
    ours = read_with_ours(server, [case.example])
    found = [
        difference
        for peer, read in PEERS.items()
        if (difference := find_difference(ours, read([case.example]), peer, case.example))
    ]
    assert found
    assert {explain(difference) for difference in found} == {case.name}


def loosen(name: str, old: str, new: str) -> Callable[[ModuleType], None]:
    """Return what puts a fault into one of the server's patterns."""

    def change(server: ModuleType) -> None:
        """Replace `old` in the pattern."""
        pattern = getattr(server, name)
        text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode()
        assert old in text
        loose: Any = text.replace(old, new)
        setattr(server, name, re.compile(loose if pattern.pattern == text else loose.encode()))

    return change


def read_any_number(server: ModuleType) -> None:
    """Let int() say what a Content-Length is: it takes signs, underscores and white space."""
    server.body_length = lambda request: (
        None
        if "transfer-encoding" in request.fields
        else int(request.fields.get("content-length", "0"))
    )


def forget_the_searched(server: ModuleType) -> None:
    """Search for the end of a head only in what has just come."""

    def read_until(reader: Any, ending: re.Pattern[bytes], too_long: str) -> str:
        """Miss what is cut by the end of a packet."""
        searched = 0
        while not (match := ending.search(reader.buffer, searched)):
            searched = len(reader.buffer)
            reader.buffer += server.receive(reader.connection)
        server.require(match[0].startswith(b"\r\n"))
        taken, reader.buffer = reader.buffer[: match.start()], reader.buffer[match.end() :]
        return taken.decode("latin-1")

    server.Reader.read_until = read_until


def split_fields_wrongly(server: ModuleType) -> None:
    """Keep only the last of several values."""
    parse = server.parse_fields
    server.parse_fields = lambda lines: {
        name: value for line in lines for name, value in parse([line]).items()
    }


def answer_wrongly(server: ModuleType) -> None:
    """Say 400 to requests that are fine but for their method."""
    server.KNOWN_METHODS = server.KNOWN_METHODS - {"PUT"}
    error_page = server.error_page
    server.error_page = lambda status: error_page(status.replace("501 Not", "400 Not"))


FAULTS: dict[str, Callable[[ModuleType], None]] = {
    "a blank before the colon": loosen("FIELD_LINE", "):(", ")[ \t]*:("),
    "a size with 0x": loosen("CHUNK_LINE", "([0-9A-Fa-f]+)", "((?:0x)?[0-9A-Fa-f]+)"),
    "a size with an underscore": loosen("CHUNK_LINE", "([0-9A-Fa-f]+)", "([0-9A-Fa-f_]+)"),
    "a blank in the middle of the request line": loosen("REQUEST_LINE", r"+) ([", r"+)\s+(["),
    "a name with any letter": loosen("FIELD_LINE", "([!#", "([(\xe9!#"),
    "NUL in a value": loosen("FIELD_LINE", r"([\t ", r"([\x00\t "),
    "a Content-Length that int() takes": read_any_number,
    "a head whose end is cut": forget_the_searched,
    "the last of several values": split_fields_wrongly,
    "the wrong answer": answer_wrongly,
}


@pytest.mark.parametrize("name", FAULTS)
def test_finds_a_fault(server: ModuleType, name: str) -> None:
    """Each kind of fault that is put into the server, soon, and again from its own seed."""
    FAULTS[name](server)
    hunt = Hunt(server)
    found = next(filter(None, map(hunt.try_seed, range(SEEDS))), None)
    assert found is not None
    assert repr(found.data) in str(found)
    assert Hunt(server).try_seed(found.seed) == found
