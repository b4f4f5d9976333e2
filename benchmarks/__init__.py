"""How fast, next to nginx, in one run on one machine. `make bench`, or ``python -m benchmarks``."""
