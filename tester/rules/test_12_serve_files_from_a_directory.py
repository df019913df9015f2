"""Stage 12, Serve Files from a Directory: the files in one folder, and nothing outside it."""

import contextlib
import fcntl
import signal
import time
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import quote

import pytest

from tester.attempt.server import Server
from tester.grading.client import Client, put_file
from tester.grading.expect import (
    about,
    expect,
    expect_body,
    expect_length,
    expect_length_field,
    expect_media_type,
    expect_refused,
    expect_said,
    expect_status,
    fail,
)
from tester.grading.words import Words
from tester.ladder.rule import edge, until, waits
from tester.rules.kinds import expect_close
from tester.wire.connection import BadResponse, Connection, WireError
from tester.wire.request import request_bytes
from tester.wire.response import Malformed, ResponseReader

STAGE = 12
MEGABYTE = 1024 * 1024
WARM_UP = 16 * MEGABYTE  # A file of this size brings a server to the memory that it works with.
LARGE = 64 * MEGABYTE  # A file of this size should not be held in memory.
# The server may grow by this much when it sends that file after the first one. A server that reads
# whole files grows by 48 MB at least; one with a garbage collector (Node: 25 MB) needs some room.
MEMORY = LARGE // 2
GROWING = 12 * MEGABYTE  # More than the system takes at once: the server is still sending it.
SIZES = 300, 20_000  # Bytes of a file before it changes, and after.
SET_SIGNAL = 10  # Linux's F_SETSIG, which Python's fcntl does not name.
# A name may begin and end with all of these. A target must escape those in the first line, and may
# escape those in the second.
ESCAPED_SIGNS = "\t%?#"
PLAIN_SIGNS = "+;=&'~@$!*(),:"


def expect_file(client: Client, target: str, content: bytes) -> None:
    """Fail unless a GET of `target` returns `content` and says how long it is."""
    response = client.ask(target)
    expect_status(response, 200)
    expect_body(response, content)
    expect_length_field(response)


def expect_kept_secret(client: Client, target: str, secret: bytes) -> None:
    """Fail unless `target` gets a 4xx, and the response does not contain the secret."""
    response = client.ask(target)
    expect(
        secret not in response.head + response.body,
        f"{target} returned a file that lies outside the folder",
        "a 4xx status, and nothing from the file",
        f"{response.status} {response.reason}, with the content of the file",
    )
    expect_refused(response)


def put_holes(server: Server, words: Words, size: int) -> str:
    """Put a file of `size` bytes into the folder; the holes in it take no space on the disk."""
    target = put_file(server, words.word(), words.data(MEGABYTE))
    with (server.public / target.rpartition("/")[2]).open("r+b") as file:
        for place in (size // 2 - 1000, size - MEGABYTE):
            file.seek(place)
            file.write(words.data(MEGABYTE))
    return target


def download(connection: Connection, target: str, file: BinaryIO, size: int) -> Iterator[int]:
    """Fail unless a file of `size` bytes arrives whole; yield how much has come after each piece.

    The bytes are not kept: what comes is compared with `file`, piece by piece.
    """
    connection.send(request_bytes(target))
    reader = ResponseReader("HEAD")  # It does not read a body.
    while not reader.complete:
        data = connection.receive()
        expect(data, "the server closed the connection without a response")
        try:
            reader.feed(data)
        except Malformed as cause:
            raise BadResponse(connection, cause) from None
    expect_status(reader.whole, 200)
    expect_length(reader.whole, size)
    data, received = reader.extra, 0
    while True:
        expect(data == file.read(len(data)), f"the body is wrong somewhere after byte {received}")
        received += len(data)
        yield received
        if received >= size:
            break
        connection.arrivals.clear()
        doing = f"sending the body: {received} of {size} bytes had come"
        data = connection.receive(doing=doing, tells_length=True)
        expect(data, f"the connection ended after {received} of {size} bytes had come")
    expect(received == size, f"the body has {received} bytes, not {size}")


def test_file_arrives_byte_for_byte(client: Client, words: Words, server: Server) -> None:
    """`/files/NAME` answers with the bytes of that file, and nothing else.

    Why: A file is bytes. Most files are not text. Even in text, a changed line end is a changed
        file: checksums and signatures no longer match (RFC 9110 section 6.4).
    Hint: Open the file with mode `"rb"`: text mode changes line ends, and fails on a picture. The
        body is what `read()` returned, and Content-Length is its `len`.
    """
    every_byte = bytes(words.sample(range(256), 256))
    lines = "\r\n".join(words.word() for _ in range(4)).encode()
    for content in (every_byte, lines, lines.replace(b"\r", b"") + b"\n\n", b"\r\n\r\n", b"\0" * 9):
        name = f"{words.mixed()}.{words.choice(('bin', 'txt', 'dat'))}"
        expect_file(client, put_file(server, name, content), content)


def test_large_file_arrives_whole(client: Client, words: Words, server: Server) -> None:
    """A file of several megabytes arrives whole.

    Why: The system takes only a limited number of bytes at once. What `send` did not take has not
        been sent, and the client, which counts the bytes, waits for the rest.
    Hint: Use `sendall`, which goes on until everything is sent. If you read the file in pieces, go
        on until `read` returns nothing.
    """
    content = words.data(5 * MEGABYTE)
    expect_file(client, put_file(server, words.word(), content), content)


def test_files_in_subfolders(client: Client, words: Words, server: Server) -> None:
    """Files in subfolders are found by their whole path, `/files/a/b/c.txt`.

    Why: The path after `/files/` is the way to the file, folder by folder.
    Hint: Take everything after `/files/`, not only the part up to the next slash.
    """
    name, content = f"{words.word()}.txt", words.data(40)
    folder = f"{words.mixed()}/{words.word()}"
    expect_file(client, put_file(server, f"{folder}/{name}", content), content)
    expect_status(client.ask(f"/files/{name}"), 404)


def test_names_are_decoded(client: Client, words: Words, server: Server) -> None:
    """A file is found even if its name contains spaces, accents or characters of other scripts.

    Why: A request target cannot contain a space or an `é`: they come as `%20` and `%C3%A9`, but on
        the disk the file has its real name (RFC 3986 section 2.1).
    Hint: Decode the file's name as you decode the path for `/echo/`: cut at `?` first, then decode
        once. A `+` in a path is a plus.
    """
    for sign in (" ", "é", "日本"):
        name, content = f"{words.word()}{sign}{words.word()}.txt", words.data(20)
        expect_file(client, put_file(server, name, content), content)


def test_ends_of_a_name(client: Client, words: Words, server: Server) -> None:
    """A name may begin and end with a space, or with a letter such as `é`.

    Why: ` notes` and `notes` are two names, and `strip()` turns the first into the second. The
        name is all that the client has sent, spaces too (RFC 3986 section 3.3).
    Hint: Do not `strip()` the path, before or after you decode it.
    """
    for sign in " é":
        for name in (f"{sign}z{words.word()}{sign}", f"{words.word()}/{sign}{sign}z{sign}"):
            content = words.data(20)
            expect_file(client, put_file(server, name, content), content)


@edge
def test_signs_in_the_name_of_a_file(client: Client, words: Words, server: Server) -> None:
    """A name may contain special characters, at its ends too: `+`, `%`, `?`, `;` and others.

    Why: In a path, `;`, `&` and `+` have no special meaning: only `?` ends it. A character that
        would have one is escaped (RFC 3986 section 3.3).
    Hint: Cut the path at the first `?` as it was sent, and only then decode it. Python's `urlparse`
        cuts at `;` as well; `urlsplit` does not. `unquote_plus` is for queries.
    """
    for sign in ("+", "%z", "?", "&"):
        name, content = f"{words.word()}{sign}{words.word()}.txt", words.data(20)
        target = put_file(server, name, content)
        expect_file(client, target.replace("%2B", "+"), content)
    for sign in ESCAPED_SIGNS + PLAIN_SIGNS:
        name, content = f"{sign}z{words.word()}{sign}/{sign}{sign}z{sign}", words.data(20)
        target = put_file(server, name, content)
        expect_file(client, target, content)
        if sign in PLAIN_SIGNS:
            expect_file(client, f"/files/{name}", content)


@edge
def test_names_are_decoded_once(client: Client, words: Words, server: Server) -> None:
    """A name is decoded once only: `/files/50%2525` asks for the file `50%25`.

    Why: Decoded twice, the name is that of a different file from the one that the client asked for
        (RFC 3986 section 2.4).
    Hint: Call `unquote` in one place only: where you take the target apart.
    """
    for name in (f"{words.word()}%25", f"%41{words.word()}", f"%2e%2e%2f{words.word()}"):
        content = words.data(20)
        expect_file(client, put_file(server, name, content), content)


@edge
def test_escapes_in_front_of_a_name(client: Client, words: Words, server: Server) -> None:
    """`/%66iles/notes.txt` is `/files/notes.txt`, and `/files%2Fnotes.txt` is not.

    Why: `%66` is an `f`, wherever it stands. But an escaped slash does not divide a path
        (RFC 3986 sections 2.2 and 6.2.2.2).
    Hint: Split the path at `/` first, then decode each part. Choose what to do by the first part.
    """
    name, content = f"{words.word()}.txt", words.data(20)
    put_file(server, name, content)
    for folder in ("%66iles", "file%73", "%66%69%6C%65%73"):
        expect_file(client, f"/{folder}/{name}", content)
    for path in (f"/files%2F{name}", f"/files%2f{name}", f"/%66iles%2F{name}"):
        expect_refused(client.ask(path))


def test_all_of_the_path_is_the_name(client: Client, words: Words, server: Server) -> None:
    """Everything after the first `/files/` is the file's path, as in `/files/a/files/b.txt`.

    Why: A folder may be called `files`, and a file `self.txt`. A server that cuts the path anywhere
        else finds no file, or the wrong one.
    Hint: `path.removeprefix("/files/")`. `path.split("/files/")[1]` and `replace` cut everywhere;
        `lstrip("/files/")` removes all characters `/`, `f`, `i`, `l`, `e` and `s` at the beginning.
    """
    word = words.word()
    for name in (
        f"{word}/files/{words.word()}.txt",
        f"files/{word}.txt",
        f"files/files/{words.word()}/files/{word}",
        f"self-{words.word()}.txt",
        f"elif/{words.word()}",
        f"{word}/echo/{words.word()}",
        f"{words.word()}/files",
    ):
        content = words.data(20)
        expect_file(client, put_file(server, name, content), content)


def test_query_is_no_part_of_a_name(client: Client, words: Words, server: Server) -> None:
    """A query changes nothing: `/files/notes.txt?page=2` is the file `notes.txt`.

    Why: The path ends at the first `?` (RFC 3986 section 3.4). Web pages often add a query so that
        a browser loads a file again.
    Hint: Look for the file with the part before the `?`, not with the whole target.
    """
    content = words.data(30)
    target = put_file(server, f"{words.word()}.txt", content)
    for query in ("", f"{words.word()}=1", f"{words.word()}.html", f"a=../{words.word()}/?b=%2F"):
        expect_file(client, f"{target}?{query}", content)
    expect_status(client.ask(f"/files/{words.word()}?{target}"), 404)


def test_files_are_read_anew(client: Client, words: Words, server: Server) -> None:
    """A file that has changed on the disk is sent as it is now; one that is gone gets 404.

    Why: Others change the folder, too: editors, uploads, other programs. What was right for the
        last request may be wrong for this one.
    Hint: Open the file for each request. Do not keep its content in a dict or an `lru_cache`, and
        do not make a list of the files when the server starts.
    """
    name = f"{words.word()}.txt"
    expect_status(client.ask(f"/files/{name}"), 404)
    for size in (20, 300, 5):
        content = words.data(size)
        expect_file(client, put_file(server, name, content), content)
    (server.public / name).unlink()
    expect_status(client.ask(f"/files/{name}"), 404)


@edge
def test_old_clients_get_files(client: Client, words: Words, server: Server) -> None:
    """An HTTP/1.0 client gets files as well, byte for byte, or 404.

    Why: HTTP/1.0 differs in some fields and in when the connection ends. A path names the same
        thing in both (RFC 9112 section 2.3).
    Hint: Look at the version only where it matters. Do not choose the response by it.
    """
    content = words.data(70_000)
    for target, status in (
        (put_file(server, f"{words.word()}/{words.word()} .bin", content), 200),
        (f"/files/{words.word()}", 404),
    ):
        response = client.ask(target, version="1.0")
        expect_status(response, status)
        if status == 200:
            expect_body(response, content)


def test_responses_with_files_bear_the_usual_fields(
    client: Client, words: Words, server: Server
) -> None:
    """A response with a file has `Date`, `Server` and a length, like all others.

    Why: What holds for pages holds for files, too. Code that writes a head of its own easily
        forgets a field (RFC 9110 section 6.6.1).
    Hint: Send all responses through the one function that writes heads.
    """
    file = put_file(server, f"{words.word()}/{words.word()}.txt", words.data(30))
    folder = file.rpartition("/")[0]
    for target in (file, folder, f"{folder}/{words.word()}", f"/files/../{words.word()}"):
        response = client.ask(target)
        with about(f"GET {target}"):
            expect_said(response, "Date", "the time of the response")
            expect_said(response, "Server", "the name of your program")
            expect_length_field(response)


@until(14)
def test_responses_with_files_say_close(client: Client, words: Words, server: Server) -> None:
    """A response with a file says `Connection: close`, like all others, as the connection ends.

    Why: A client that does not know this sends its next request on a connection that is closed
        already (RFC 9112 section 9.6). From stage 15 on, connections do stay open.
    Hint: Send all responses through the one function that writes heads.
    """
    file = put_file(server, f"{words.word()}.txt", words.data(30))
    for target in (file, f"{file}{words.word()}"):
        expect_close(client, client.ask(target))


def test_missing_file_is_not_found(client: Client, words: Words, server: Server) -> None:
    """If there is no such file, the status is 404.

    Why: The client asked for something that is not there. That is not the server's fault, and not a
        reason to break off the connection (RFC 9110 section 15.5.5).
    Hint: Check that it is a file (`path.is_file()`) before you open it. Compare the beginning of
        the path with `/files/`, including the second slash.
    """
    target = put_file(server, f"{words.word()}.txt", words.data(10))
    for path in (
        f"/files/{words.word()}.txt",
        f"/files/{words.word()}/{words.word()}.txt",
        target[:-1],
        f"{target}{words.word()}",
        target.replace("/files/", f"/files{words.word()}/"),
        target.replace("/files/", "/files"),
        target.replace("/files/", f"/files{words.word(1)}"),
    ):
        expect_status(client.ask(path), 404)
    client.expect_serving()


@until(12)
def test_every_file_is_octet_stream(client: Client, words: Words, server: Server) -> None:
    """A file is sent as `application/octet-stream`.

    Why: Content-Type says what the bytes are. As long as the server does not know, this type says
        "just bytes", and a browser saves them as a file (RFC 9110 section 8.3). Stage 13 adds more
        types.
    Hint: Add `Content-Type: application/octet-stream` to every response with a file.
    """
    for end in ("", f".{words.word(3)}", ".txt", ".html", ".js", ".png"):
        response = client.ask(put_file(server, f"{words.word()}{end}", words.data(30)))
        expect_status(response, 200)
        expect_media_type(response, "application/octet-stream")


def test_dots_do_not_lead_outside(client: Client, words: Words, server: Server) -> None:
    """No file outside the folder is served for a path with `..` in it.

    Why: `..` is the folder above. With paths such as `/files/../../etc/passwd`, a stranger could
        read any file on your machine (RFC 9110 section 17.3).
    Hint: Find out where the file really is (`os.path.realpath`, or `path.resolve()`), and serve it
        only if that place is inside the folder: `path.is_relative_to(folder.resolve())`.
    """
    name, folder, secret = f"{words.word()}.txt", words.word(), words.word(30).encode()
    outside = server.scratch / name
    outside.write_bytes(secret)
    put_file(server, f"{folder}/{name}", words.data(10))
    up = "../" * 20
    for path in (
        f"../{name}",
        f"./../{name}",
        f"{folder}/../../{name}",
        f"../../{server.scratch.name}/{name}",
        f"{up}{str(outside).lstrip('/')}",
    ):
        expect_kept_secret(client, f"/files/{path}", secret)
        expect_kept_secret(client, f"/files/{path}?{words.word()}", secret)
    expect_kept_secret(client, f"/files../{name}", secret)
    target = f"/files/../{name}"
    for what, asked, version in (
        (f"{target} in HTTP/1.0", target, "1.0"),
        (f"http://localhost{target}", f"http://localhost{target}", "1.1"),
    ):
        with contextlib.suppress(WireError, BadResponse):  # Whether it answers is another rule.
            response = client.ask(asked, version=version)
            expect(
                secret not in response.body,
                f"{what} returned a file that lies outside the folder",
                "a 4xx status, and nothing from the file",
                f"{response.status} {response.reason}, with the content of the file",
            )
    client.expect_serving()


def test_encoded_dots_do_not_lead_outside(client: Client, words: Words, server: Server) -> None:
    """No file outside is served for a path in which `..`, a slash or a backslash is escaped.

    Why: `%2e%2e%2f` is `../`, written so that a search for `..` does not find it
        (RFC 3986 section 2.1, RFC 9110 section 17.3).
    Hint: Decode first, and only once. Then look where the path leads. Never check the path in the
        form in which it was sent.
    """
    name, secret = f"{words.word()}.txt", words.word(30).encode()
    (server.scratch / name).write_bytes(secret)
    for up in (
        "%2e%2e/",
        "%2E%2E/",
        ".%2e/",
        "..%2f",
        "..%2F",
        "%2e%2e%2f",
        "..%5c",
        "%2e%2e%5C",
        "%252e%252e%252f",
    ):
        expect_kept_secret(client, f"/files/{up}{name}", secret)
    client.expect_serving()


def test_absolute_paths_do_not_lead_outside(client: Client, words: Words, server: Server) -> None:
    """No file outside is served for an absolute path after `/files/`.

    Why: In `/files//etc/passwd` the name is `/etc/passwd`. Many functions that join a folder and a
        name drop the folder if the name begins with a slash.
    Hint: `folder / "/etc/passwd"` is `/etc/passwd`, and so is `os.path.join`. Join, resolve, and
        then check that the result is inside the folder.
    """
    secret = words.word(30).encode()
    outside = server.scratch / f"{words.word()}.txt"
    outside.write_bytes(secret)
    for path in (str(outside), f"/{outside}", quote(str(outside), safe=""), f"%2F{outside}"):
        expect_kept_secret(client, f"/files/{path}", secret)
    client.expect_serving()


def test_sibling_folder_is_outside(client: Client, words: Words, server: Server) -> None:
    """No file is served from another folder whose name begins in the same way.

    Why: `/srv/public-secret/key` begins with the characters of `/srv/public`, but it is not inside
        that folder.
    Hint: Compare folder by folder, not character by character: `path.is_relative_to(folder)`
        instead of `str(path).startswith(str(folder))`. Join with a slash between folder and name.
    """
    ending, name, secret = words.word(), f"{words.word()}.txt", words.word(30).encode()
    sibling = server.scratch / f"{server.public.name}-{ending}"
    sibling.mkdir()
    (sibling / name).write_bytes(secret)
    for path in (
        f"../{sibling.name}/{name}",
        f"..%2F{sibling.name}%2F{name}",
        f"%2e%2e/{sibling.name}/{name}",
        f"-{ending}/{name}",
        f"{sibling}/{name}",
    ):
        expect_kept_secret(client, f"/files/{path}", secret)
    expect_kept_secret(client, f"/files-{ending}/{name}", secret)
    client.expect_serving()


def test_folder_is_no_file(client: Client, words: Words, server: Server) -> None:
    """A folder in place of a file gets a 4xx.

    Why: A folder has no bytes to send, and opening it like a file is an error. Nor did the client
        ask for a list of what is in it.
    Hint: For a folder, `path.is_file()` is false and `path.exists()` is true: use the first.
    """
    folder = words.word()
    put_file(server, f"{folder}/{words.word()}.txt", words.data(10))
    for path in ("/files/", f"/files/{folder}", f"/files/{folder}/"):
        expect_refused(client.ask(path))
    client.expect_serving()


@edge
def test_one_file_has_one_name(client: Client, words: Words, server: Server) -> None:
    """A file has one name: `/files/notes.txt/` and `/files//notes.txt` get a 4xx.

    Why: To a cache, and to a proxy that checks paths before you, these are different paths. If all
        of them return the file, a client that may not have it under one name gets it under another
        (RFC 3986 section 6.2).
    Hint: A `Path` drops `.`, double slashes and a slash at the end. So look at the text: split it
        at `/`, and refuse a part that is empty, `.` or `..`.
    """
    folder, name, content = words.word(), f"{words.word()}.txt", words.word(30).encode()
    target = put_file(server, name, content)
    put_file(server, f"{folder}/{name}", words.data(10))
    for path in (
        f"{target}/",
        f"{target}%2F",
        f"{target}/.",
        f"/files/./{name}",
        f"/files/%2e/{name}",
        f"/files//{name}",
        f"/files/%2F{name}",
        f"/files/{folder}/../{name}",
        f"/files/{folder}/%2e%2e/{name}",
        f"/files/{folder}//{name}",
        f"/files/{folder}/./{name}",
        f"/files/{folder}/{name}/",
    ):
        with about(f"GET {path}"):
            expect_refused(client.ask(path))
    expect_file(client, target, content)


@edge
@waits
def test_length_and_bytes_are_of_one_file(client: Client, words: Words, server: Server) -> None:
    """If a file changes while it is sent, the length and the bytes still belong to one version.

    Why: If the length is that of the old file and the bytes are those of the new one, the client
        waits for bytes that never come, or takes extra bytes for the next response
        (RFC 9112 section 6.3).
    Hint: Open the file, then ask that open file for its length, `os.fstat(file.fileno()).st_size`,
        and send exactly this many bytes, not everything up to its end.
    """
    target = put_holes(server, words, GROWING)
    path = server.public / target.rpartition("/")[2]
    connection, grows = client.connect(), True
    with about("a file that grows while it is sent", connection), path.open("rb") as file:
        for _ in download(connection, target, file, GROWING):
            if grows:
                with path.open("ab") as end:
                    end.write(words.data(MEGABYTE))
                grows = False
        client.expect_nothing_more(connection)
    path.unlink()
    for sizes in (SIZES, SIZES[::-1]):
        old, new = (words.data(size) for size in sizes)
        target = put_file(server, words.word(), old)
        connection = client.connect()
        with (server.public / target.rpartition("/")[2]).open("r+b", buffering=0) as file:
            if not _lease(file):
                return
            connection.send(request_bytes(target))
            deadline = time.monotonic() + connection.patience
            while fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_WRLCK:  # Not opened yet.
                if connection.has_pending() or time.monotonic() > deadline:
                    break
                time.sleep(0.001)  # Only a signal would tell us.
            file.write(new)
            file.truncate()
        _expect_one_of(client, connection, [old, new])


def _lease(file: BinaryIO) -> bool:
    """Make every program that opens `file` wait until we close it; return whether that worked.

    Linux calls this a lease, and sends us a signal when a program waits: we choose a harmless one.
    """
    try:
        fcntl.fcntl(file, SET_SIGNAL, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except (AttributeError, OSError):
        return False
    return True


def _expect_one_of(client: Client, connection: Connection, contents: list[bytes]) -> None:
    """Fail unless the response is whole, and its body is one of `contents`."""
    sizes = " or ".join(str(len(content)) for content in contents)
    try:
        response = connection.read_response()
        client.expect_nothing_more(connection)
    except WireError as error:
        if not error.doing.startswith("sending the body"):
            raise
        fail(
            "of a file that changed just before it was opened, less came than Content-Length says",
            f"the whole old file or the whole new one: {sizes} bytes",
            f"the end while {error.doing}",
            connection=connection,
        )
    # A server that does not wait for the file may answer with an error: that is not judged here.
    expect(
        response.status != 200 or response.body in contents,
        f"of a file that changed just before it was opened, {len(response.body)} bytes came, and"
        " they are neither the old file nor the new one",
        f"the whole old file or the whole new one: {sizes} bytes",
        f"{len(response.body)} bytes",
    )


@edge
def test_empty_file(client: Client, words: Words, server: Server) -> None:
    """An empty file gets `200 OK` with `Content-Length: 0`.

    Why: A file with no bytes in it still exists: it is not missing.
    Hint: Beware of `if not content:`, which treats an empty file as a missing one.
    """
    response = client.ask(put_file(server, f"{words.word()}.txt", b""))
    expect_status(response, 200)
    expect_length(response, 0)
    expect_body(response, b"")


@edge
def test_letter_case_of_a_name_counts(client: Client, words: Words, server: Server) -> None:
    """`NOTES.txt` and `notes.txt` are two files; if only one exists, the other gets 404.

    Why: Paths are compared character by character. A cache takes these two for different things,
        and so must the server (RFC 9110 section 4.2.3).
    Hint: Look for the file under exactly the name in the path, without `lower()`.
    """
    word, content, other = words.word(), words.data(20), words.data(30)
    target = put_file(server, f"{word.upper()}.txt", content)
    if (server.public / f"{word}.txt").exists():
        pytest.skip("letter case does not count on this disk")
    for name in (word, word.capitalize()):
        expect_status(client.ask(f"/files/{name}.txt"), 404)
    expect_file(client, put_file(server, f"{word}.txt", other), other)
    expect_file(client, target, content)


@edge
def test_dots_inside_a_name(client: Client, words: Words, server: Server) -> None:
    """A file with two dots inside its name is served: `notes..old.txt`.

    Why: `..` leads up only where it is a whole part of the path, between two slashes.
    Hint: Do not refuse every name with `..` in it. Look where the whole path leads.
    """
    for name in (f"{words.word()}..{words.word()}", f"{words.word()}../{words.word()}.txt"):
        content = words.data(20)
        expect_file(client, put_file(server, name, content), content)


@edge
def test_names_that_no_file_can_have(client: Client, words: Words, server: Server) -> None:
    """A name that is too long, or that treats a file as a folder, gets a 4xx.

    Why: The system refuses such names with special errors. In Python, that is an OSError that says
        "File name too long" or "Not a directory". For the client, there is just no such file.
    Hint: Catch OSError where you look for the file, and answer 404.
    """
    target = put_file(server, f"{words.word()}.txt", words.data(10))
    for path in (f"{target}/{words.word()}", f"/files/{words.word(300)}", f"/files/{'a/' * 3000}b"):
        expect_refused(client.ask(path))
    client.expect_serving()


@edge
def test_nul_in_a_name(client: Client, words: Words, server: Server) -> None:
    """A name with the byte 0 in it (`%00`) gets a 4xx.

    Why: No file can have such a name. In C, a name ends at its first 0, so `key.txt%00.png` looks
        like a picture but opens `key.txt`. Python raises ValueError.
    Hint: Catch ValueError where you look for the file, or refuse a name with `"\\0"` in it.
    """
    content = words.word(30).encode()
    target = put_file(server, f"{words.word()}.txt", content)
    for path in (f"{target}%00", f"{target}%00.png", "/files/%00", f"/files/{words.word()}%00/a"):
        response = client.ask(path)
        expect_refused(response)
        expect(content not in response.body, f"{path} returned a file: the name was cut at %00")
    client.expect_serving()


@edge
def test_link_that_leads_outside(client: Client, words: Words, server: Server) -> None:
    """A symbolic link inside the folder that leads out of it is not followed.

    Why: A link is a file that names another place. Anyone who can put a link into the folder (by an
        upload, by an archive) could read any file on your machine.
    Hint: `path.resolve()` and `os.path.realpath` follow links: check the place that they return.
    """
    name, secret, links = f"{words.word()}.txt", words.word(30).encode(), words.word()
    outside = server.scratch / words.word()
    outside.mkdir()
    (outside / name).write_bytes(secret)
    try:
        (server.public / f"{links}.txt").symlink_to(outside / name)
        (server.public / links).symlink_to(outside)
    except OSError as error:
        pytest.skip(f"symbolic links can't be made here: {error.strerror}")
    for path in (f"{links}.txt", f"{links}/{name}"):
        expect_kept_secret(client, f"/files/{path}", secret)
    client.expect_serving()


@edge
def test_huge_file_needs_little_memory(client: Client, words: Words, server: Server) -> None:
    """A file of 64 MB arrives whole, and the server never holds all of it in memory.

    Why: If every download held its file in memory, a few clients with large files would fill it.
    Hint: Do not `read()` the whole file at once. Read 64 KB, send them, and repeat until the end.
        For Content-Length, use `os.fstat(file.fileno()).st_size`.
    """
    before = most = 0
    for size in (WARM_UP, LARGE):
        target = put_holes(server, words, size)
        path = server.public / target.rpartition("/")[2]
        before = most = server.memory()  # In the end, what the first file cost does not count.
        looks = 0
        with path.open("rb") as file:
            for received in download(client.connect(), target, file, size):
                if received >= looks * size // 8:
                    most = max(most, server.memory())
                    looks += 1
        path.unlink()
    grown = most - before
    expect(
        grown < MEMORY,
        f"the server grew by {grown // MEGABYTE} MB while it sent a file of {LARGE // MEGABYTE} MB",
        f"a server that grows by less than {MEMORY // MEGABYTE} MB",
        f"{before // MEGABYTE} MB before, up to {most // MEGABYTE} MB while sending",
    )
