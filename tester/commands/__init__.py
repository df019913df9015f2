"""The commands: one file a verb, with its options and what it prints.

Knows the command line and the screen. Uses every room below it, but for the workshop.

Does not decide anything about a grade.

Read `main.py` first; each verb has the file of its name. `options.py` reads values strictly, and
`changes.py` sees which files have changed.
"""
