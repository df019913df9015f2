"""Reads what an attempt prints, as it comes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import termios
import threading
import time

GRACE = 0.5  # Seconds between the request to stop (SIGTERM) and the kill (SIGKILL).
KEPT_OUTPUT = 256 * 1024  # Bytes of output that are kept: the last ones.
FEW, GATHER = 4096, 0.003  # After fewer bytes than this, we read on after these seconds.
END_PAUSE = 0.3  # Seconds to wait for the end of the output, once the program exits.
FINISH_TIMEOUT = 5.0  # Seconds to wait until we have read what is left in the pipe.
LONGEST_LINE = 2000  # Characters of one line that are shown; of more, its beginning and its end.


class Output:
    """What an attempt prints, standard output and standard error together, read as it comes."""

    def __init__(self, stream: object) -> None:
        """Read from `stream`, a binary pipe, in a thread of its own until it ends."""
        self._descriptor: int = stream.fileno()  # type: ignore[attr-defined]
        self._stream = stream
        self._data = bytearray()
        """The end of what came: from KEPT_OUTPUT to 2 * KEPT_OUTPUT bytes, if that many came."""
        self._ended = False
        self.written = 0
        """How many bytes have come in total."""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        """Keep the end of what comes, and wake the threads that wait for it."""
        ready = select.poll()
        with contextlib.suppress(OSError, ValueError):
            ready.register(self._descriptor, select.POLLIN)
            while ready.poll():
                with self._changed:  # So `_waiting` never sees bytes on their way to us.
                    data = os.read(self._descriptor, 65536)
                    if not data:
                        break
                    self._data += data
                    if len(self._data) > 2 * KEPT_OUTPUT:  # Not each time: that would be slow.
                        del self._data[:-KEPT_OUTPUT]
                    self.written += len(data)
                    self._changed.notify_all()
                if len(data) < FEW:
                    time.sleep(GATHER)  # A line for each request is common: we read several.
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _end(self, size: int) -> bytes:
        """Return the last `size` bytes that came, or as many as are kept."""
        with self._changed:
            return bytes(self._data[-min(size, KEPT_OUTPUT) :]) if size > 0 else b""

    @property
    def text(self) -> str:
        """All that is kept, as text; bytes that are not UTF-8 are escaped."""
        return self._end(KEPT_OUTPUT).decode("utf-8", "backslashreplace")

    def tail(self, lines: int = 12, since: int = 0) -> str:
        """The last `lines` lines of what came after the first `since` bytes."""
        with self._changed:
            new = self._end(self.written - since)
        text = new.decode("utf-8", "backslashreplace")
        return "\n".join(map(_shorten_line, text.rstrip().splitlines()[-lines:]))

    def holds(self, words: str) -> bool:
        """Return whether `words` are in what is kept; quick, however much that is."""
        with self._changed:
            return words.encode() in self._data

    def wait_for(self, words: str, seconds: float) -> bool:
        """Wait at most `seconds` until `words` have been printed; return whether they were."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self.holds(words), seconds)
            return self.holds(words)

    def catch_up(self, seconds: float = 0.3) -> None:
        """Wait, at most `seconds`, until we have read what was printed before this call."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or not self._waiting(), seconds)

    def _waiting(self) -> bool:
        """Return whether the pipe holds bytes that we have not read yet."""
        with contextlib.suppress(OSError, ValueError):
            return any(fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4)))
        return False

    def pause(self, seconds: float) -> None:
        """Wait until something is printed, at most `seconds`."""
        with self._changed:
            self._changed.wait(seconds)

    def finish(self) -> None:
        """Wait a moment for the end of the output, once the attempt has exited or is about to.

        What is already in the pipe is read in any case, however busy the machine is.
        """
        self._thread.join(END_PAUSE)
        self.catch_up(FINISH_TIMEOUT)

    def close(self) -> None:
        """Let go of the pipe, once nothing writes to it any more."""
        self._thread.join(GRACE)
        if not self._thread.is_alive():
            self._stream.close()  # type: ignore[attr-defined]


def _shorten_line(line: str) -> str:
    """Return a line of output; of a very long one, both ends: an error is named there."""
    half = LONGEST_LINE // 2
    return line if len(line) <= LONGEST_LINE else f"{line[:half]} … {line[-half:]}"
