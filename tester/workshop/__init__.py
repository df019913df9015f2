"""The workshop: what only maintainers run. Nothing imports it.

    python -m tester.workshop VERB

Knows everything. Measures the tester and the stages' servers, and makes the files that no hand
writes: the map of the ladder, the picture of a failed check, the signs of the known mistakes.

`carry.py` and `map.py` keep the eighteen servers together. `learn.py`, `soak.py`, `mutants/` and
`bench.py` tell how far the grader can be trusted, and how fast it is; `fuzz/`, `stress/` and
`peers/` tell the same of stage 18's server.
"""
