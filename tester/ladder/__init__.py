"""The ladder: what there is to learn, and what is asked at each stage.

Knows the eighteen stages, where their files are, the rules with what they say about themselves, and
how large each step is. Reads files and starts nothing.

Does not know how a server is started, or what a check does.

Read `stages.py` first, then `rule.py` (what makes a function a rule, and when it is in force), then
`steps.py` (what a stage adds to the one before it).
"""
