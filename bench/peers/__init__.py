"""One adapter a peer; each runs as a script in its own environment and speaks contract.py."""
