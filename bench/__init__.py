"""Compare speed and accuracy with installable peers: `bash bench/run`."""
