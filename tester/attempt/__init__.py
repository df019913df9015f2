"""An attempt: somebody else's program, running.

Knows how a path or a command becomes a process, which port it listens on, what it prints, all the
processes that it starts, how much they may take, and how they are ended, whatever they do.

Does not know HTTP, or what is asked of the program.

In the order in which an attempt lives: `locate.py` (how is it run?), `server.py` (starts it, starts
it again, stops it), `sockets.py` and `ports.py` (where does it listen, and who else wants that
port?), `output.py` (what does it print?), `family.py` (all its processes) and `limits.py` (what
they take). `guard.py` ends what is left when the tester itself is gone.
"""
