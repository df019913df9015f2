"""Stage 18's server under load and attack: `make soak-server`. What it promises, it must hold."""
