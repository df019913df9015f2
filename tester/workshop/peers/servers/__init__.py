"""The programs that are measured: each answers the same three requests, by its own server."""
