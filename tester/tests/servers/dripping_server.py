"""A correct server whose answers come a few bytes at a time: a fixture of the tester's own tests.

Each piece is a packet of its own, and some answers come byte by byte. So a check that takes what
one `recv` brings for the whole answer fails here, as does one that believes that head and body come
together.
"""

from __future__ import annotations

from socketserver_server import Handler, main

ONE_IN = 8  # Answers that come byte by byte, as far as they are short: all would take too long.
SHORT = 2_000
LENGTHS = (1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 4_099, 65_537, 262_147)


class DrippingHandler(Handler):
    """Sends in pieces of growing length; Nagle's algorithm, which would gather them, is off."""

    def transmit(self, data: bytes) -> None:
        """Send all of it, bit by bit."""
        single = len(data) < SHORT and len(data) % ONE_IN == 0
        start = turn = 0
        while start < len(data):
            length = 1 if single else LENGTHS[min(turn, len(LENGTHS) - 1)]
            super().transmit(data[start : start + length])
            start, turn = start + length, turn + 1


if __name__ == "__main__":
    main(DrippingHandler)
