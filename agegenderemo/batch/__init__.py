"""Many pictures at once: a pool of processes on this machine."""
