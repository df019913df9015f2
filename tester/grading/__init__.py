"""Grading: from an order to a result.

Knows which checks run on which servers and in which order, when a server is started again, when a
grade gives up, and how what went wrong is put into words.

Does not know the rules themselves, or how a result is shown.

An order is a `job.py`. `grade.py` runs pytest on the rules; `plugin.py` holds the hooks, and
`run.py` decides what runs where. `check.py` runs one check, `groups.py` those that wait, many at a
time; `health.py` is what has been learnt of an attempt. A check talks through a `client.py` with
random `words.py`; it states facts with `expect.py`, and what must follow with `follow.py`.
`explain.py` and `by_hand.py` turn what happened into a failure. `alone.py` runs a single check on a
server with a known mistake. `worker.py` grades in a process of its own; `climb.py` does it for all
eighteen stages, and `helper.py` for programs that can't lend their process.
"""
