"""Stage 1: Bind to a Port.

Can:     listen on a TCP port, accept one connection after another, and hang up.
Cannot:  read or say anything.
New:     a socket that is bound to an address, listens, and accepts.
RFC:     9110 section 4.2.1 (the port of an http URI), 9112 section 9.1 (the connection)
"""

import argparse
import contextlib
import os
import socket
import sys

# --- Settings -------------------------------------------------------------------------------------

HOST = "127.0.0.1"  # The loopback address: only programs on this machine can connect.
settings = argparse.Namespace()  # Filled in by `read_settings`

# --- Requests: from bytes to a Request ------------------------------------------------------------
# --- Responses: from a Request to a Response, and to bytes ----------------------------------------

# --- Connections: who is served, and how long -----------------------------------------------------


def serve_connection(connection: socket.socket) -> None:
    """Hang up at once: there is nothing to say yet."""
    connection.close()


def serve_forever(listener: socket.socket) -> None:
    """Serve one client after the other."""
    while True:
        connection, _ = listener.accept()
        serve_connection(connection)


def read_settings(arguments: list[str]) -> None:
    """Fill in `settings` from the command line and the environment."""
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=os.environ.get("PORT", "4221"))
    parser.parse_known_args(arguments, settings)


def open_listener() -> socket.socket:
    """Return a socket that waits for clients on our port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Let a restart have it back.
    try:
        listener.bind((HOST, settings.port))
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"Can't use port {settings.port}: {error}. Free it, or set PORT.\n")
        raise SystemExit(2) from None
    listener.listen()
    return listener


if __name__ == "__main__":
    read_settings(sys.argv[1:])
    with contextlib.suppress(KeyboardInterrupt), open_listener() as listener:
        print(f"Listening on http://{HOST}:{listener.getsockname()[1]}", file=sys.stderr)
        serve_forever(listener)
