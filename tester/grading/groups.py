"""Checks that wait: many at once, on a server of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tester.attempt.server import Server
from tester.grading.check import call, in_background, is_broken, is_gone
from tester.grading.client import Client
from tester.grading.words import Words
from tester.ladder.rule import Rule, read_rule


class Group:
    """Checks that run at once on one server: what one does to it, no other has to pay for."""

    def __init__(
        self,
        server: Server,
        items: list[pytest.Function],
        started: Future[Any],
        words: Callable[[str], Words],
        learn: Callable[[BaseException | None, Rule], None] | None,
        *,
        may_stop: bool,
    ) -> None:
        """Run `items` as soon as the server has `started`; `may_stop` it when all have passed.

        What a check has ended with is told to `learn` at once.
        """
        self.server = server
        self._learn = learn
        self.to_ask_again: list[Waiting] = []
        """In their order: those that have failed, if the server did not survive."""
        self.asked_again: dict[str, Waiting] = {}
        """By id: how those do that are alone now."""
        self.beside_edges = False
        """Whether edge cases are, or were, put to the same process as its requirements."""
        self._spoilt: bool | None = None
        self._running = len(items)
        self._lock = threading.Lock()
        self._may_stop = may_stop
        self._has_failed = False
        self.members = [
            Waiting(item, Client(server, words(item.name)), started, self) for item in items
        ]

    def note_end(self, error: BaseException | None, item: pytest.Item) -> None:
        """Note that a check has ended; after the last, a server that nobody needs is stopped.

        It would only take time from the others. One that a check has failed on is still needed,
        to explain that.
        """
        if self._learn:
            self._learn(error, read_rule(item))
        with self._lock:
            self._running -= 1
            self._has_failed = self._has_failed or isinstance(error, Exception)
            is_over = self._may_stop and not self._running
        if is_over:
            in_background(self._retire if self._has_failed else self.server.stop)

    def _retire(self) -> None:
        """Let a server that is needed to explain failures, and that spins, take no time of others'.

        Each client that has left may have left a loop behind.
        """
        if self.server.spins():
            self.server.make_way()

    def is_spoilt(self) -> bool:
        """Return whether the server did not survive the group, so that any may have ended it.

        Waits until all have ended.
        """
        if self._spoilt is None:
            failed = [each for each in self.members if isinstance(each.join(), Exception)]
            gone = self.server.wait_for_exit() is not None or is_gone(self.server)
            self._spoilt = gone and len(self.members) > 1
            self.to_ask_again = failed if self._spoilt else []
        return self._spoilt


class Waiting:
    """A check that runs in a thread of its own."""

    def __init__(
        self, item: pytest.Function, client: Client, started: Future[Any], group: Group
    ) -> None:
        """Run it as soon as the server has `started`."""
        self.item = item
        self.client = client
        self.server = client.server
        self.group = group
        self._started = started
        self._outcome = in_background(self._run)

    def _run(self) -> BaseException | None:
        """Run the check; return what it raises, or why there is no server to run it on."""
        if error := self._started.exception():
            return error
        error = call(self.item.function, self.client)
        self.group.note_end(error, self.item)
        return error

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._outcome.done()

    def join(self) -> BaseException | None:
        """Wait for the end; return what was raised."""
        return self._outcome.result()

    def may_be_anothers_fault(self) -> bool:
        """Return whether it has failed where another check may have broken the server."""
        error = self.join()
        if not isinstance(error, Exception):
            return False
        is_edge = read_rule(self.item).kind == "edge"
        beside_edges = self.group.beside_edges and not is_edge and is_broken(error)
        return self.group.is_spoilt() or beside_edges
