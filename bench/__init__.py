"""Speed and accuracy beside installable peers: `bash bench/run`."""
