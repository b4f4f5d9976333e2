"""What the Makefile calls: install, compile, check, test. Needs nothing but a Python 3 to start."""
