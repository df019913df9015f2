"""Runs one check."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest

from tester.attempt.server import Server
from tester.grading.client import Client
from tester.wire.connection import WireError

Returned = TypeVar("Returned")
BROKEN = ("silent", "endless", "refused")  # What is seen of a server that serves nobody any more.


def is_broken(error: BaseException | None) -> bool:
    """Return whether `error` is what is seen of a server that serves nobody any more."""
    return isinstance(error, WireError) and error.kind in BROKEN


def is_gone(server: Server) -> bool:
    """Return whether the server takes no client any more: it has ended, or listens no more."""
    return server.exit_code is not None or not server.listens()


def in_background(function: Callable[[], Returned]) -> Future[Returned]:
    """Call `function` in a thread of its own; the future holds what it returns or raises."""
    future: Future[Returned] = Future()

    def run() -> None:
        """Call it, and keep what comes of it."""
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def call(function: Callable[..., None], client: Client) -> BaseException | None:
    """Run a check with what it asks for; return what it raises."""
    offered: dict[str, Any] = {
        "client": client,
        "words": client.words,
        "server": client.server,
    }
    wanted = {name: offered[name] for name in inspect.signature(function).parameters}
    try:
        function(**wanted)
    except (Exception, pytest.skip.Exception) as error:
        return error
    finally:
        client.close()
    return None
