"""A correct server up to stage 12 in the way of CodeCrafters' course: a fixture of the tester's.

A folder with a script, a port of its own that it would share (SO_REUSEPORT), whole requests in one
string, a chain of `if` and `elif`, a closed connection after each answer, and errors without words.
"""

import os
import socket
import sys
import threading
import time
import urllib.parse
from datetime import datetime, timezone

PAGES = {"/": "Hello World!", "/about": "I learn.", "/blog": "Day 12: files."}


def read_head(client: socket.socket) -> str:
    """Return the head of a request as text, `""` if the client leaves or says nothing."""
    data = b""
    end = time.time() + 1
    while b"\r\n\r\n" not in data and len(data) < 100_000:
        client.settimeout(max(end - time.time(), 0.01))
        part = client.recv(1024)
        if not part:
            return ""
        data += part
    client.settimeout(10)
    return data.partition(b"\r\n\r\n")[0].decode("latin-1")


def build(status: str, content_type: str = "text/plain", body: bytes = b"") -> bytes:
    """Return a whole answer."""
    now = datetime.now(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"Date: {now}\r\nServer: my-first-server\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def respond(head: str, folder: str) -> bytes:
    """Return the answer to a request."""
    lines = head.split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        return build("400 Bad Request")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    path, _, query = parts[1].partition("?")
    raw = urllib.parse.unquote_to_bytes(path)

    if path in PAGES:
        return build("200 OK", "text/html", PAGES[path].encode())
    elif path.startswith("/echo/"):
        return build("200 OK", body=raw[len(b"/echo/") :])
    elif path == "/user-agent":
        return build("200 OK", body=headers.get("user-agent", "").encode("latin-1"))
    elif path == "/search":
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        return build("200 OK", body="\n".join(f"{name}: {value}" for name, value in pairs).encode())
    elif path.startswith("/files/"):
        return serve_file(raw[len(b"/files/") :], folder)
    return build("404 Not Found")


def serve_file(name: bytes, folder: str) -> bytes:
    """Return a file of the folder."""
    root = os.path.realpath(folder).encode()
    try:
        real = os.path.realpath(os.path.join(root, name))
        if os.path.commonpath([root, real]) != root or b".." in name or b"\\" in name:
            return build("403 Forbidden")
        with open(real, "rb") as file:
            return build("200 OK", "application/octet-stream", file.read())
    except (OSError, ValueError):
        return build("404 Not Found")


def handle(client: socket.socket, folder: str) -> None:
    """Answer one client."""
    with client:
        try:
            head = read_head(client)
            if head:
                client.sendall(respond(head, folder))
        except OSError as error:
            print(f"client lost: {error}")


def main() -> None:
    """Serve for ever."""
    folder = sys.argv[sys.argv.index("--directory") + 1] if "--directory" in sys.argv else "public"
    server_socket = socket.create_server(("localhost", 4221), backlog=128, reuse_port=True)
    while True:
        client, _ = server_socket.accept()
        threading.Thread(target=handle, args=(client, folder), daemon=True).start()


if __name__ == "__main__":
    main()
