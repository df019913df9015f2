"""The rules: one file a stage, one check a rule. A check's docstring is what learners read.

Knows what an attempt must do, and how to see whether it does.

Does not know when a check runs, on which process, or how its failure is shown.

A rule stands in the file of the stage that introduces it, and holds from there on. `kinds.py` lists
the kinds of request that many rules ask on each path; README.md says which check asks for what, and
what can't be asked. `python -m tester show 7` prints the rules of stage 7.
"""
