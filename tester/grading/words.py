"""Random words: nobody can pass by knowing them in advance."""

from __future__ import annotations

import itertools
import random
import string

LETTERS = (string.ascii_lowercase * 10)[:256].encode()  # Of each byte, the letter that it becomes.
VOCABULARY = 256  # Different words in a random text: a byte chooses one.
SHORTEST_WORD = 4  # Bytes that a word takes at least, with the space after it.


class Words(random.Random):
    """Random words for paths, names and values: nobody can pass by knowing them beforehand."""

    def word(self, length: int = 8) -> str:
        """Return lower-case letters."""
        return self.randbytes(length).translate(LETTERS).decode("ascii")

    def mixed(self, length: int = 8) -> str:
        """Return letters, capital ones among them: a server must not change them."""
        return self.word(length).capitalize() + self.word(2).upper()

    def data(self, size: int) -> bytes:
        """Return `size` bytes of every value."""
        return self.randbytes(size)

    def text(self, size: int) -> bytes:
        """Return `size` bytes of readable text that gzip can make smaller."""
        ends = itertools.accumulate(3 + byte % 7 for byte in self.randbytes(VOCABULARY))
        letters = self.randbytes(9 * VOCABULARY).translate(LETTERS)
        vocabulary = [letters[start:end] for start, end in itertools.pairwise([0, *ends])]
        words = [vocabulary[byte] for byte in self.randbytes(size // SHORTEST_WORD + 1)]
        lines = (b" ".join(words[i : i + 12]) for i in range(0, len(words), 12))
        return b"\n".join(lines)[:size]
