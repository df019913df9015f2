"""One run of the checks against an attempt: which of them, on which processes, in which order.

Three turns. First the checks that need no waiting, one after the other, on the first process.
Beside them, from the start, those that wait: each group on a process of its own (`groups.py`), so
that a grade takes as long as its longest wait and not as long as their sum. Last, those that stop
the server and start it again.

Two rules decide what runs where:

- What an edge case does to a process is never held against a requirement. They have groups of their
  own; on the first process, where they take turns, a requirement that finds the process broken is
  asked again on a fresh one.
- When several stages are graded in one run, a later stage's check must not cost an earlier stage
  anything: then each stage has groups of its own.

An attempt with a port of its own can't run twice at a time. Its checks that wait have their turn
among the others, stage by stage, on the only process that there is.

Results are yielded as they are made. When a process is started again, and when a run gives up, is
decided by counting what checks in a row have met; what has been learnt about an attempt shortens
all later waits (`health.py`).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from tester.attempt.locate import locate
from tester.attempt.process import Habits
from tester.attempt.server import Server
from tester.attempt.starting import StartError
from tester.grading.check import call, in_background, is_broken, is_gone
from tester.grading.client import Client
from tester.grading.explain import Stopped, explain
from tester.grading.groups import Group, Waiting
from tester.grading.health import KINDS, Alone, Endless, Overload, kinds_after, was_slow
from tester.grading.job import Grading
from tester.grading.words import Words
from tester.ladder.rule import Rule, read_rule
from tester.ladder.stages import LAST_STAGE, get_stage
from tester.results import CheckResult, Outcome
from tester.wire.connection import PATIENCE, WireError

SLOW = 0.1  # Seconds: after a check that took longer we look whether the attempt spins.
LESS_PATIENCE = 1.0  # Seconds to wait for an answer after the attempt has been silent once.
ASKED_AGAIN_AT_ONCE = 4  # Checks that are asked again, each on a process of its own.
MAX_FAILURES_IN_A_ROW = {  # Checks that end so: after so many we give up.
    "dead": 6,
    "stuck": 3,
    "flooding": 8,
    "stopped": 2,
}
SAID_OF = {
    "dead": "did not survive",
    "stuck": "did not answer",
    "flooding": "went on sending without end in",
    "stopped": "was stopped ({reason}) in",
}


class GivenUp(Exception):
    """A check that is not run, as the attempt has failed too often before."""


class Run:
    """One run of the checks against one attempt, started in one way."""

    def __init__(self, job: Grading, stages: range) -> None:
        """Prepare to check what is in force at any of `stages`. Raises UsageError."""
        self.stages = stages
        self.seed = job.seed
        self._new_server = functools.partial(
            Server,
            locate(job.path, job.command),
            with_directory=get_stage(stages[-1]).has_files,
            startup_timeout=job.startup_timeout,
            memory_limit=job.memory_limit,
            habits=Habits(),
        )
        self.server = self._new_server(is_copy=job.is_copy)
        self.collided = False
        """Whether the first server is a copy that could not run: a port that it wants is taken."""
        self._spares: list[Server] = []
        self._spares_by_kind: list[tuple[str, Server]] = []
        """Those whose checks are hurried by what others have found out."""
        self._lone: list[Server] = []
        """Those that were started to ask a single check again."""
        self._waiting: dict[str, Waiting] = {}
        self._later: list[pytest.Function] = []
        self._failures_in_a_row = dict.fromkeys(MAX_FAILURES_IN_A_ROW, 0)
        self._given_up = ""
        self._given_up_at = LAST_STAGE
        self._doubtful = False
        self._told_stop = False
        self._stuck = False
        self._spins = False
        self._before = ""
        """The kind of the check before, on the first server."""
        self._alone = Alone()
        self._met_edges = 0
        """Which start of the first server was the last that was put to an edge case."""
        self._patience = dict.fromkeys(KINDS, PATIENCE)
        self._endless = Endless()
        self._overload = Overload()
        self._starting: Future[Any] | None = None

    def start_early(self) -> Future[Any]:
        """Start the attempt in the background: `start` waits for it."""
        self._starting = in_background(self.server.start)
        return self._starting

    def start(self) -> None:
        """Wait until the attempt listens. Raises StartError."""
        starting = self._starting or self.start_early()
        try:
            starting.result()
        except StartError as error:
            self._note_collision(error)
            raise

    def stop(self) -> None:
        """Stop whatever runs, all at once: a server may use up its time to end."""
        for stopped in [in_background(server.stop) for server in (self.server, *self._spares)]:
            stopped.result()

    def select(self, items: list[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
        """Return the checks in force, in the order of their turns, and the others."""
        chosen: list[pytest.Item] = []
        left: list[pytest.Item] = []
        for item in items:
            fits = any(map(read_rule(item).in_force, self.stages))
            (chosen if fits else left).append(item)
        return sorted(chosen, key=_turn), left

    def results(
        self, items: list[pytest.Function]
    ) -> Iterator[tuple[pytest.Function, CheckResult]]:
        """Run `items`; yield each with its result, as soon as it has one."""
        self._start_waiting(items)
        for item in items:
            yield item, self._result(item)

    def words(self, name: str) -> Words:
        """Return the random words of the check `name`: the same ones for the same seed."""
        return Words(f"{self.seed}:{name}")

    def _start_waiting(self, items: list[pytest.Function]) -> None:
        """Start the checks that wait, beside the others and on servers of their own.

        When several stages are graded, each has its own: an attempt that fails at a later stage
        must not fail an earlier one for that. For the same reason, silent clients and crowds have
        one apart from the checks before them, and edge cases one apart from requirements. An
        attempt with a port of its own can't run twice: its checks that wait have their turn among
        the others, stage by stage.
        """
        waits = [item for item in items if read_rule(item).waits]
        if self.server.is_alone:
            items.sort(key=lambda item: (_turn(item) == LAST_TURN, read_rule(item).stage))
            self._later = waits
            return
        groups: dict[tuple[int, str], list[pytest.Function]] = {}
        for item in waits:
            rule = read_rule(item)
            crowds = get_stage(rule.stage).takes_crowds
            stage = rule.stage if len(self.stages) > 1 else crowds
            groups.setdefault((stage, rule.kind), []).append(item)
        for group in groups.values():
            self._wait_on(self._add_spare(group[0]), group)

    def _add_spare(self, item: pytest.Item) -> Server:
        """Return another server for checks of the kind of `item`, not started yet.

        It is stopped in the end.
        """
        kind, server = read_rule(item).kind, self._new_server(is_copy=True)
        self._spares.append(server)
        if len(self.stages) == 1:
            self._spares_by_kind.append((kind, server))
            self._hurry(kind, server)
        return server

    def _wait_on(self, server: Server, items: list[pytest.Function]) -> Group:
        """Run `items`, all at once, on `server` as soon as it has started."""
        first = server is self.server
        started = (self._starting if first else None) or in_background(server.start)
        learn = self._learn if len(self.stages) == 1 else None
        group = Group(server, items, started, self.words, learn, may_stop=not first)
        self._waiting |= {waiting.item.nodeid: waiting for waiting in group.members}
        return group

    def _result(self, item: pytest.Function) -> CheckResult:
        """Run a check, and put into words what comes of it."""
        rule, began = read_rule(item), time.monotonic()
        try:
            client, error = self._run(item)
        except GivenUp as reason:
            return _make_result(item, "skipped", skipped=str(reason))
        seconds = time.monotonic() - began
        if isinstance(error, Exception):
            failure = explain(error, client, rule.stage)
            if client.server in self._lone:
                in_background(client.server.stop)  # It was started for this check alone.
            return _make_result(item, "failed", failure=failure, seconds=seconds)
        if error is not None:
            return _make_result(item, "skipped", skipped=str(error), seconds=seconds)
        return _make_result(item, "passed", seconds=seconds)

    def _run(self, item: pytest.Function) -> tuple[Client, BaseException | None]:
        """Run a check, or wait for its end; return what it raised, and who it talked with.

        Raises GivenUp where it is not worth it.
        """
        rule = read_rule(item)
        waiting = self._waiting.pop(item.nodeid, None)
        over = bool(self._given_up) and rule.stage >= self._given_up_at
        if waiting and not waiting.done and over:
            self._revive(rule)  # There is no use in waiting: this says why.
        error = waiting.join() if waiting else None
        if waiting and error and (isinstance(error, StartError) or waiting.server.has_collided()):
            self._take_over(waiting)
            waiting = None
        if waiting is None:
            began = time.monotonic()
            client, error = self._run_here(item)
            self._spins = time.monotonic() - began > SLOW and self.server.spins()
        else:
            client = waiting.client
            if over and isinstance(error, Exception) and is_gone(waiting.server):
                self._revive(rule)  # Another check may have ended it; nobody is asked again.
            if not over and waiting.may_be_anothers_fault():
                client, error = self._ask_again(waiting)
        if isinstance(error, Exception) and client.server.stopped:
            error = Stopped(client.server.stopped)
        if client.server is self.server:
            self._count(error, rule)
            self._learn(error, rule)
        if error is not None:
            self.collided = self.collided or self.server.has_collided()
        return client, error

    def _ask_again(self, waiting: Waiting) -> tuple[Client, BaseException | None]:
        """Ask alone, on a fresh process, what failed in a group, perhaps by another's fault.

        Which check ended the server nobody can tell, so only this counts. A few of them are asked
        at the same time, in their order, each on a process of its own; of an attempt with a port of
        its own there is but one. A server that ends whatever it is asked has been asked enough
        after ENDED_ALONE of a kind: then it is no neighbour's fault. Edge cases, however many, are
        no reason not to ask a requirement again.
        """
        group, item = waiting.group, waiting.item
        kind = read_rule(item).kind
        if self._alone.enough(kind):
            return waiting.client, waiting.join()
        if group.server is self.server:
            client, error = self._run_fresh(item)
            self._alone.note(kind, error, gone=is_gone(self.server))
            return client, error
        while group.to_ask_again and (
            item.nodeid not in group.asked_again or len(group.asked_again) < ASKED_AGAIN_AT_ONCE
        ):
            other = group.to_ask_again.pop(0).item
            self._lone.append(self._add_spare(other))
            (again,) = self._wait_on(self._lone[-1], [other]).members
            group.asked_again[other.nodeid] = self._waiting.pop(other.nodeid)
        again = group.asked_again.pop(item.nodeid)
        error = again.join()
        if isinstance(error, StartError) or (error and again.server.has_collided()):
            return self._run_here(item)
        self._alone.note(kind, error, gone=is_gone(again.server))
        return again.client, error

    def _run_here(self, item: pytest.Function) -> tuple[Client, BaseException | None]:
        """Run a check on the first server; one that waits together with the others of its stage.

        If we stopped the server since the check before ended, this one says so: others may pass.
        But a requirement does not, where the check before was an edge case. And one that finds the
        server broken that has met edge cases is asked again, on a fresh process.
        """
        rule = read_rule(item)
        untold = "" if self._told_stop else self.server.stopped
        if rule.kind == "requirement" and self._before == "edge":
            untold = ""
        self._revive(rule)
        self.server.patience = self._patience[rule.kind]
        self.server.most_read = self._endless.most_read(rule.kind)
        if item in self._later:
            return self._run_later(item)
        self._note_edges([item])
        client = Client(self.server, self.words(item.name))
        error = Stopped(untold) if untold else call(item.function, client)
        while (
            was_slow(error, client.longest)
            and self._overload.may_explain(item.name)
            and not self.server.spins()  # Then it is slow by itself.
        ):
            client = Client(self.server, self.words(item.name))
            error = call(item.function, client)
            self._overload.note(item.name, helped=error is None)
        if rule.kind == "requirement" and self._may_be_broken_by_edges(error):
            return self._run_fresh(item)
        return client, error

    def _note_collision(self, error: StartError) -> None:
        """Note it if a first server that is a copy could not start for want of a port."""
        self.collided = self.collided or (self.server.is_copy and error.holder is not None)

    def _take_over(self, waiting: Waiting) -> None:
        """Give the first server what a copy can't do: the checks that were to run on it."""
        left = [name for name, one in self._waiting.items() if one.server is waiting.server]
        self._later += [waiting.item, *(self._waiting.pop(name).item for name in left)]

    def _may_be_broken_by_edges(self, error: BaseException | None) -> bool:
        """Return whether by `error` the first server is broken, after it has met edge cases."""
        if not isinstance(error, Exception) or self._met_edges != self.server.starts:
            return False
        return is_broken(error) or is_gone(self.server)

    def _note_edges(self, items: Sequence[pytest.Item]) -> None:
        """Remember that the first server, as it runs now, meets an edge case, if one is there."""
        if any(read_rule(item).kind == "edge" for item in items):
            self._met_edges = self.server.starts

    def _run_fresh(self, item: pytest.Function) -> tuple[Client, BaseException | None]:
        """Run a check alone on the first server, begun anew."""
        self._restart()
        self._note_edges([item])
        client = Client(self.server, self.words(item.name))
        return client, call(item.function, client)

    def _run_later(self, item: pytest.Function) -> tuple[Client, BaseException | None]:
        """Run a check on the first server, together with the others of its stage that wait."""
        stage = read_rule(item).stage
        items = [other for other in self._later if read_rule(other).stage == stage]
        self._later = [other for other in self._later if other not in items]
        self._note_edges(items)
        group = self._wait_on(self.server, items)
        group.beside_edges = self._met_edges == self.server.starts
        waiting = self._waiting.pop(item.nodeid)
        if waiting.may_be_anothers_fault():
            return self._ask_again(waiting)
        return waiting.client, waiting.join()

    def _revive(self, rule: Rule) -> None:
        """Start a server again that has died or got stuck. Raises GivenUp after too many.

        One that spins, as when a loop goes on at the end of a connection, would be slower and
        slower: that is a matter of the check that has found it, not of those after it. One with a
        port of its own is started anew only where a requirement follows an edge case: it may be
        long until it has its port again.
        """
        if self._given_up:
            raise GivenUp(self._given_up)
        dead = self.server.exit_code is not None or bool(self.server.stopped)
        dead = dead or (self._doubtful and not self.server.listens())
        if dead and self.server.has_collided():  # It would only be in the first one's way.
            self.collided, self._given_up = True, "a copy of the server could not run beside it"
            raise GivenUp(self._given_up)
        spoilt = self._before == "edge" and rule.kind == "requirement"
        if dead or ((self._stuck or self._spins) and (spoilt or not self.server.hard_coded)):
            self._restart()

    def _restart(self) -> None:
        """Start the first server again. Raises GivenUp if that can't be done."""
        self._stuck = self._spins = False
        try:
            self.server.restart()
        except StartError as error:
            self._note_collision(error)
            self._given_up = f"the server could not be started again ({error})"
            raise GivenUp(self._given_up) from None

    def _learn(self, error: BaseException | None, rule: Rule) -> None:
        """Read less of the answers to come, if several before had no end: on all processes.

        Where more than one stage is graded, what checks that wait find out says nothing to others:
        a later stage must not cost an earlier one anything.
        """
        self._endless.note(error, rule)
        for kind, server in self._spares_by_kind:
            self._hurry(kind, server)

    def _hurry(self, kind: str, server: Server) -> None:
        """Let checks of a kind on a process of their own wait no longer than is known to do."""
        if self._endless.drips(kind):
            server.patience = self._patience[kind] = LESS_PATIENCE
        server.most_read = self._endless.most_read(kind)

    def _count(self, error: BaseException | None, rule: Rule) -> None:
        """Count the requirements in a row after which the server was gone or stuck.

        Edge cases are never needed: no number of them makes us give up.
        """
        self._doubtful = error is not None
        self._told_stop = isinstance(error, Stopped)
        self._stuck = isinstance(error, WireError) and error.kind in ("silent", "endless")
        self._before = rule.kind
        if self._stuck:  # It had all the time it needs: from now on we lose less of it.
            self._patience |= dict.fromkeys(kinds_after(rule.kind), LESS_PATIENCE)
        refused = isinstance(error, WireError) and error.kind == "refused"
        if isinstance(error, WireError):
            self.server.wait_for_exit()  # It may be just about to exit, or to listen no more.
        gone = error is not None and is_gone(self.server)
        if rule.kind == "edge":
            return
        states = {
            "dead": gone or refused,
            "stuck": self._stuck,
            "flooding": isinstance(error, WireError) and error.kind == "flood",
            "stopped": self._told_stop,
        }
        for state, now in states.items():
            count = self._failures_in_a_row[state] = (
                self._failures_in_a_row[state] + 1 if now else 0
            )
            if count == MAX_FAILURES_IN_A_ROW[state]:
                words = SAID_OF[state].format(reason=self.server.stopped)
                self._given_up = f"the server {words} the {count} checks before"
                self._given_up_at = rule.stage


LAST_TURN = 2


def _turn(item: pytest.Item) -> int:
    """Return when a check has its turn: plain ones first, then those that wait, then restarts."""
    rule = read_rule(item)
    return 1 if rule.waits else LAST_TURN if rule.restarts else 0


def _make_result(item: pytest.Function, outcome: Outcome, **more: Any) -> CheckResult:
    """Return the result of a check that came to this outcome."""
    rule, identity = read_rule(item), item.nodeid.rpartition("/")[2]
    return CheckResult(
        identity, rule.stage, rule.title, rule.kind, outcome, rule.why, rule.hint, **more
    )


def not_run(item: pytest.Function) -> CheckResult:
    """Return the result of a check that never had its turn."""
    return _make_result(item, "skipped", skipped="the grade ended before")
