"""Lets plain pytest run the rules: `pytest tester/rules --attempt PATH --stage N`."""

from tester.suite import *  # noqa: F403  pytest finds hooks and fixtures by their names here.
