"""One adapter per peer; each runs as a script in its own environment, see contract.py."""
