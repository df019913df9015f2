"""The wire: bytes between two programs.

Knows TCP connections, how a request is written, and how a response is read: strictly, byte by byte.
All that went both ways is recorded, with the time at which it went.

Does not know what runs at the other end, or what it should have said.

Read `response.py` first (bytes in, a `Response` or `Malformed` out), then `request.py`, then
`connection.py`, which joins the two.
"""
