"""The commands: one file for each verb, with what the verb does and prints.

Knows the command line and the screen. Uses the rooms above it in the table, except for the rules,
the mistakes and the lessons.

Does not decide anything about a grade.

Read `main.py` first; each verb has a file of its own name. `options.py` reads values strictly, and
`changes.py` finds out which files have changed.
"""
