"""Reports: from a result to a page.

Knows how a result looks on a terminal, as JSON and as JUnit XML, and how bytes are made visible.

Does not know how a result was made: of our own modules, it imports only `results.py` and the
ladder.

Read `bytes_view.py` first (bytes, lines, the caret), then `terminal.py`. `as_json.py` and
`as_junit.py` are one format each; another format would stand beside them. None of them is imported
here, so that a run that only writes JSON does not have to wait for `rich`.
"""
