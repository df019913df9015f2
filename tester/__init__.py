"""Grades HTTP servers, stage by stage, over real sockets: `python -m tester`."""
