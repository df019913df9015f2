"""A correct server that writes as oddly as HTTP allows: a fixture of the tester's own tests.

Names of fields in any letter case and order, none or several kinds of white space around values,
fields that nobody knows, reason phrases of its own or none, zeros before numbers, sizes of chunks
in capital letters, extensions, and trailers after the last chunk. What it chooses depends on the
request alone, so that a failure can be repeated.
"""

from __future__ import annotations

import random
from email.utils import formatdate

from socketserver_server import Handler, Refusal, main

# In these words where the contract asks for them.
PHRASES = {200: "OK", 201: "Created", 400: "Bad Request", 404: "Not Found"}
OTHER_PHRASES = ("", "As You See It", "200 OK", "\xfcber: so!", "HTTP/1.1")
SPACES = ("", " ", "\t", "  ", " \t ", "\t\t")
UNKNOWN = {
    "X-Empty": "",
    "X-Colons": "a: b: c",
    "X-Latin": "caf\xe9",
    "X-Quoted": '"text, \\" text"; q=0.1',
    "X-HTTP": "HTTP/1.1 200 OK",
    "X-Length": "Content-Length: 7",
}


class OddHandler(Handler):
    """Writes each answer in its own way."""

    random = random.Random(0)

    def make_head(self, status: int, fields: dict[str, str]) -> bytes:
        """Return the head of an answer."""
        self.random = random.Random(f"{getattr(self, 'path', '')} {self.method} {status}")
        fields = {"Date": formatdate(usegmt=True), "Server": "(odd) [but] right/0", **fields}
        fields |= {"X-Content-Type-Options": "NoSniff"}
        fields["Connection"] = "Keep-Alive" if self.stays else "CLOSE"
        for name, value in fields.items():
            if name in ("Transfer-Encoding", "Content-Encoding"):
                fields[name] = value.capitalize()
            elif name == "Content-Type":
                fields[name] = value.replace(";charset=UTF-8", ' ;\tCharset="uTF-8"').title()
            elif name == "Content-Length":
                fields[name] = f"00{value}"
            elif name in ("Vary", "Allow"):
                fields[name] = value.replace(",", "\t , ")
        lines = [self.write_field(*pair) for pair in (fields | UNKNOWN).items()]
        self.random.shuffle(lines)
        phrase = PHRASES.get(status, self.random.choice(OTHER_PHRASES))
        return "\r\n".join([f"HTTP/1.1 {status} {phrase}", *lines, "", ""]).encode("latin-1")

    def write_field(self, name: str, value: str) -> str:
        """`("Date", "now")` -> `"dAtE:\\t now "`."""
        name = "".join(self.random.choice([letter.lower(), letter.upper()]) for letter in name)
        return f"{name}:{self.random.choice(SPACES)}{value}{self.random.choice(SPACES)}"

    def make_chunk(self, data: bytes) -> bytes:
        """Return `data` as a chunk, the last one with trailers if there is nothing in it."""
        size = b"%0*X" % (self.random.randint(1, 12), len(data))
        size += self.random.choice([b"", b";Last", b' ; a = "b;\\"" ;c', b";x=y;z"])
        end = b"" if data else b"X-Trailer:1\t\r\neTAG: \r\n"
        return size + b"\r\n" + data + end + b"\r\n"

    def find_file(self) -> str:
        """Return the real path of the file that is meant, or refuse it in some way or other."""
        try:
            return super().find_file()
        except Refusal:
            raise Refusal(self.random.choice([400, 403, 404, 409, 410]), ends=False) from None


if __name__ == "__main__":
    main(OddHandler)
