"""The rules: one file a stage, one check a rule. Learners read the docstring of each check.

Knows what an attempt must do, and how to see whether it does.

Does not know when a check runs, on which process, or how its failure is shown.

A rule stands in the file of the stage that introduces it, and holds from that stage on. `kinds.py`
lists the kinds of request with which many rules are tested on each path. README.md says which check
asks for what, and what no check can ask. `python -m tester show 7` prints the rules of stage 7.
"""
