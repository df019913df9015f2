"""What the programs share: their settings, and their answers.

`GET /` is a small page, `GET /files/64k.bin` a file, and `POST /echo` sends the body back.
They are started as every attempt is: `PORT` in the environment, `--directory DIR` for the files.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

HOST = "127.0.0.1"  # The loopback address: clients and servers are on one machine.
HTML, BINARY = "text/html; charset=utf-8", "application/octet-stream"
PAGE = b"<!doctype html><title>Hello World!</title><h1>Hello World!</h1>"  # As stage 18 has it
FILE_NAME = "64k.bin"
FILE = bytes(range(256)) * 256
POST_SIZE = 1024  # Bytes; post.lua sends as many.

# One process each, as Python code runs on one core at a time. Threads, where there is a pool of
# them: more would only wait for each other. cheroot's own default is 10, waitress's is 4.
THREADS = 8
BACKLOG = 1024  # Clients that may wait until they are accepted: 256 come at once.
CONNECTIONS = 1024  # Clients that may stay: some servers would turn away the 11th or the 101st.


def read_settings() -> argparse.Namespace:
    """Return `port`, a number, `directory`, a Path, and `fast`: whether to use C where one may."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=os.environ.get("PORT"))
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--fast", action="store_true")
    return parser.parse_args()
