"""The eighteen stages: where they are, what each one teaches, and where to read on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRST_WITH_LENGTHS = 7  # From this stage on, responses say how long their bodies are.
FIRST_THAT_KEEPS = 15  # From this stage on, a connection stays open after a response.


class LadderError(ValueError):
    """Something that can't be done, said in one line for the person who asked for it."""


@dataclass(frozen=True)
class Stage:
    """One step of the ladder: a folder with a server, its rules and its lesson."""

    number: int
    title: str
    learn: str
    """What one learns, in one sentence."""
    rfc: str
    """Where to read on: `RFC 9112 §2.2, RFC 9110 §8.6`."""

    @property
    def slug(self) -> str:
        """The number and title as a name: `07-respond-with-content`."""
        return f"{self.number:02}-{re.sub('[^a-z0-9]+', '-', self.title.lower())}"

    @property
    def folder(self) -> Path:
        """The stage's own folder."""
        return ROOT / "stages" / self.slug

    @property
    def server(self) -> Path:
        """The server that passes this stage."""
        return self.folder / "server.py"

    @property
    def rules(self) -> Path:
        """The file with the rules that this stage adds."""
        return ROOT / "tester" / "rules" / f"test_{self.slug.replace('-', '_')}.py"

    # What is different from one stage on. Ask for these, and compare no numbers elsewhere: a track
    # that branches off has other numbers.

    @property
    def reads(self) -> bool:
        """Whether servers read what a client sends; before, that may be met by a reset."""
        return self.number >= 2

    @property
    def answers(self) -> bool:
        """Whether servers send responses; before, a right one hangs up without a word."""
        return self.number >= 3

    @property
    def tells_lengths(self) -> bool:
        """Whether responses say how long their bodies are."""
        return self.number >= FIRST_WITH_LENGTHS

    @property
    def takes_crowds(self) -> bool:
        """Whether clients come in crowds, and some stay silent."""
        return self.number >= 10

    @property
    def has_files(self) -> bool:
        """Whether servers are started with `--directory`."""
        return self.number >= 12

    @property
    def tells_types(self) -> bool:
        """Whether a browser is told what the files are."""
        return self.number >= 13

    @property
    def keeps_connections(self) -> bool:
        """Whether a connection stays open after a response."""
        return self.number >= FIRST_THAT_KEEPS

    @property
    def is_last(self) -> bool:
        """Whether the ladder ends here."""
        return self.number == LAST_STAGE

    @property
    def lesson(self) -> Path:
        """The notebook that goes with this stage; there may be none yet."""
        return ROOT / "notebooks" / f"{self.slug}.ipynb"


STAGES: tuple[Stage, ...] = (
    Stage(
        1,
        "Bind to a Port",
        "How a program takes a TCP port and accepts clients, one after another.",
        "RFC 9110 §4.2.1, RFC 9112 §9.1",
    ),
    Stage(
        2,
        "Read Connection Data",
        "What a client really sends, and how to hang up so that nothing is lost.",
        "RFC 9112 §2.1, RFC 9112 §9.6",
    ),
    Stage(
        3,
        "Respond with 200 OK",
        "What a response is: a status line, an empty line and a body.",
        "RFC 9112 §4, RFC 9112 §2.2",
    ),
    Stage(
        4,
        "Return 404 Not Found",
        "How to read a request line, and how to say that there is no such page.",
        "RFC 9112 §3, RFC 9110 §15.5.5",
    ),
    Stage(
        5,
        "Extract the URL Path",
        "How to get from a request target to a path: cut first, then decode, once.",
        "RFC 9112 §3.2, RFC 3986 §2.1",
    ),
    Stage(
        6,
        "Implement Basic Routing",
        "How a table of functions takes the place of many ifs.",
        "RFC 9110 §4.2.3",
    ),
    Stage(
        7,
        "Respond with Content",
        "Why a length counts bytes, and how a client knows what it gets.",
        "RFC 9110 §8.6, RFC 9110 §8.3",
    ),
    Stage(
        8,
        "Parse Request Headers",
        "Why one `recv` is not one request, and how to read header fields strictly.",
        "RFC 9112 §5, RFC 9112 §3.2",
    ),
    Stage(
        9,
        "Send Response Headers",
        "What every response says about itself, and how dates are written.",
        "RFC 9110 §6.6.1, RFC 9112 §9.6",
    ),
    Stage(
        10,
        "Handle Concurrent Connections",
        "How a thread for each client, a limit and a deadline keep one from stopping all.",
        "RFC 9112 §9.4, RFC 9112 §9.5",
    ),
    Stage(
        11,
        "Parse Query Parameters",
        "How to read names and values: split first, decode afterwards.",
        "RFC 3986 §3.4",
    ),
    Stage(
        12,
        "Serve Files from a Directory",
        "How to send files of any size, and nothing from outside the folder.",
        "RFC 9110 §17.3",
    ),
    Stage(
        13,
        "Detect Content Types",
        "How a browser is told what a file is, so that it need not guess.",
        "RFC 9110 §8.3",
    ),
    Stage(
        14,
        "Handle POST Requests",
        "How to read a body piece by piece and store all of it or nothing; what methods mean.",
        "RFC 9110 §9, RFC 9112 §6",
    ),
    Stage(
        15,
        "Connection Keep-Alive",
        "How one connection serves many requests, and when it must end.",
        "RFC 9112 §9.3",
    ),
    Stage(
        16,
        "Support HTTP Compression",
        "How client and server agree on gzip, and what caches must know of it.",
        "RFC 9110 §8.4, RFC 9110 §12.5.3",
    ),
    Stage(
        17,
        "HTTP Pipelining",
        "How requests that arrive together are answered in order.",
        "RFC 9112 §9.3.2",
    ),
    Stage(
        18,
        "Chunked Transfer Encoding",
        "How to send and read a body when nobody knows its length beforehand.",
        "RFC 9112 §7.1, RFC 9112 §6.3",
    ),
)
LAST_STAGE = len(STAGES)


def get_stage(number: int) -> Stage:
    """Return the stage with this number. Raises LadderError where there is none."""
    if not 1 <= number <= len(STAGES):
        raise LadderError(f"There is no stage {number}: the stages are 1 to {len(STAGES)}.")
    return STAGES[number - 1]
