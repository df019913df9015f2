"""Stage 18's server beside other people's servers, under load: `make bench-peers`."""
