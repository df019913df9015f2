"""Stage 13, Detect Content Types: the response says what kind of file it contains."""

import re

from tester.attempt.server import Server
from tester.grading.client import Client, put_file
from tester.grading.expect import (
    about,
    expect,
    expect_body,
    expect_field,
    expect_media_type,
    expect_status,
)
from tester.grading.words import Words
from tester.ladder.rule import edge
from tester.wire.response import Response

STAGE = 13
BINARY = "application/octet-stream"
TEXTS = {
    "html": ("text/html",),
    "css": ("text/css",),
    "js": ("text/javascript", "application/javascript"),  # The second is old, and still common.
    "json": ("application/json",),
    "txt": ("text/plain",),
}
OTHERS = {
    "svg": ("image/svg+xml",),
    "png": ("image/png",),
    "jpg": ("image/jpeg",),
    "pdf": ("application/pdf",),
}
TARS = ("application/x-tar", "application/tar", "application/x-gtar")


def get_file(client: Client, server: Server, name: str) -> Response:
    """Return the response to a request for a new file of this name; fail unless it is that file."""
    content = client.words.data(20)
    response = client.ask(put_file(server, name, content))
    expect_status(response, 200)
    expect_body(response, content)
    return response


def expect_type(client: Client, server: Server, name: str, *types: str) -> None:
    """Fail unless a file of this name is sent as one of `types`."""
    with about(f"the file {name!r}"):
        expect_media_type(get_file(client, server, name), *types)


def test_text_types(client: Client, words: Words, server: Server) -> None:
    """The files of a web page are sent with their types: html, css, js, json and txt.

    Why: A browser shows `text/html` as a page, and `text/plain` as it is. It ignores a style sheet
        that is not sent as `text/css` (RFC 9110 section 8.3).
    Hint: Use a dict from extension to type: `.html` text/html, `.css` text/css, `.js`
        text/javascript, `.json` application/json, `.txt` text/plain.
    """
    for extension, types in TEXTS.items():
        expect_type(client, server, f"{words.word()}.{extension}", *types)


def test_image_and_document_types(client: Client, words: Words, server: Server) -> None:
    """Images and documents are sent with their types: svg, png, jpg and pdf.

    Why: A browser shows a file if the type says that it is an image. If the type says "just bytes",
        it saves the file (RFC 9110 section 8.3.1).
    Hint: `.svg` image/svg+xml, `.png` image/png, `.jpg` image/jpeg (not jpg), `.pdf`
        application/pdf.
    """
    for extension, types in OTHERS.items():
        expect_type(client, server, f"{words.word()}.{extension}", *types)


def test_extension_in_any_letter_case(client: Client, words: Words, server: Server) -> None:
    """The extension may be in any letter case: `.HTML`, `.Jpg`.

    Why: Cameras write `.JPG`, and people write `.Html`. The type is the same.
    Hint: Look the extension up in lower case: `extension.lower()`.
    """
    for extension, types in (TEXTS | OTHERS).items():
        written = words.choice((extension.upper(), extension.capitalize()))
        expect_type(client, server, f"{words.word()}.{written}", *types)


def test_unknown_extension(client: Client, words: Words, server: Server) -> None:
    """A file with an unknown extension is sent as `application/octet-stream`.

    Why: A wrong type does more harm than a vague one: "just bytes" is always true
        (RFC 9110 section 8.3, RFC 2046 section 4.5.1).
    Hint: Give your look-up a default: `types.get(extension, "application/octet-stream")`. Python's
        `mimetypes.guess_type` returns None for what it does not know.
    """
    for extension in (words.word(), f"{words.word(6)}html", f"txt{words.word(6)}"):
        expect_type(client, server, f"{words.word()}.{extension}", BINARY)


def test_no_extension(client: Client, words: Words, server: Server) -> None:
    """A file without an extension is sent as `application/octet-stream`, too.

    Why: The name `README` does not say what is in the file. And a dot in a folder's name does not
        give an extension to the files in the folder: `v1.html/README`.
    Hint: Take the extension from the last part of the path: `path.suffix`, `os.path.splitext`.
    """
    for name in (
        words.word(),
        f"{words.word()}html",
        f"{words.word()}.html/{words.word()}",
        f"{words.word()}/html",
    ):
        expect_type(client, server, name, BINARY)


def test_last_extension_counts(client: Client, words: Words, server: Server) -> None:
    """If a name contains several dots, the last one counts: `jquery-3.7.min.js` is JavaScript.

    Why: Names contain dots for many reasons, such as versions. What comes last is the type.
    Hint: Cut at the last dot: `path.suffix` or `name.rpartition(".")`, not `name.split(".")[1]`.
    """
    for extension, types in (TEXTS | OTHERS).items():
        other = words.choice(("txt", "min", "html", "3.7"))
        expect_type(client, server, f"{words.word()}.{other}.{extension}", *types)


def test_type_is_told_by_the_name_alone(client: Client, words: Words, server: Server) -> None:
    """The type depends on the file's name alone: not on its folder, a query, or what is in it.

    Why: `style.css?v=2.txt` is a style sheet. And a text about HTML is not a page: sent as one, it
        would make a browser run what is in it (RFC 9110 section 8.3).
    Hint: Take the extension from the path of the file that you have found, not from the target. Do
        not look into the file.
    """
    looks = (b"<!doctype html><html>", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7", b'{"a": 1}')
    for extension, types in (TEXTS | OTHERS | {"": (BINARY,), words.word(): (BINARY,)}).items():
        written = words.choice((extension.upper(), extension))
        name = f"{words.word()}.txt/{words.word()}" + (f".{written}" if extension else "")
        content = words.choice(looks) if extension else looks[0]
        target = put_file(server, name, content)
        for asked in (target, f"{target}?{words.word()}=1.png"):
            with about(f"the file {name!r}, asked for as {asked}"):
                response = client.ask(asked)
                expect_status(response, 200)
                expect_body(response, content)
                expect_media_type(response, *types)


@edge
def test_packed_archive_is_no_plain_tar(client: Client, words: Words, server: Server) -> None:
    """`x.tar.gz` is not sent as if it were a plain tar archive.

    Why: Its bytes are gzip. Python's `guess_type` returns two things, `application/x-tar` and
        `gzip`. If the server sends only the first, the client tries to read the gzip bytes as tar.
    Hint: Send `application/octet-stream`, or `application/gzip`.
    """
    for extension in ("tar.gz", "tgz"):
        response = get_file(client, server, f"{words.word()}.{extension}")
        media_type = (response.field("Content-Type") or "").split(";")[0].strip().lower()
        coding = (response.field("Content-Encoding") or "").strip().lower()
        expect(
            media_type not in TARS or coding in ("gzip", "x-gzip"),
            f"a .{extension} file is sent as {media_type}, but its bytes are gzip",
            "application/octet-stream, or application/gzip",
            f"Content-Type: {media_type}",
        )


@edge
def test_text_files_say_their_charset(client: Client, words: Words, server: Server) -> None:
    """Text files say `charset=utf-8`.

    Why: Without it, the browser guesses how bytes stand for letters such as é, and may show `Ã©`
        (RFC 9110 section 8.3.2).
    Hint: Write it into your table of types: `text/plain; charset=utf-8`.
    """
    pattern = re.compile(r'text/.*;\s*charset=("utf-8"|utf-8)\s*(;.*)?', re.IGNORECASE)
    for extension in ("html", "css", "txt"):
        name = f"{words.word()}.{extension}"
        wanted = f"{TEXTS[extension][0]}; charset=utf-8"
        with about(f"the file {name!r}"):
            expect_field(get_file(client, server, name), "Content-Type", pattern, wanted)


@edge
def test_browsers_must_not_guess(client: Client, words: Words, server: Server) -> None:
    """Files are sent with `X-Content-Type-Options: nosniff`.

    Why: Some browsers look into the bytes and think that they know better. If somebody stores a
        text on your server that looks like a page, they would run it as one.
    Hint: Add the field to every response with a file. With it, the type that you send must be
        right.
    """
    for extension in ("", ".html", ".txt", ".png", f".{words.word()}"):
        response = get_file(client, server, f"{words.word()}{extension}")
        expect_field(
            response,
            "X-Content-Type-Options",
            lambda value: value.lower() == "nosniff",
            "nosniff",
        )
