"""The rules: one file a stage, one check a rule. A check's docstring is what learners read."""
