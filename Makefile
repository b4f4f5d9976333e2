# Few commands, the same here and in CI. The work is done by workshop/, which starts with any Python 3.
# Another interpreter: make run PYTHON=python3.12. The benchmark's length: make bench BENCH_SECONDS=2.
# How long the fuzzer searches: make fuzz FUZZ_SECONDS=3600.

PYTHON ?= python3
FOUND = command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: apt-get install python3 python3-venv python3-dev gcc make" >&2; exit 1; }
WORKSHOP = @$(FOUND); exec $(PYTHON) -m workshop

.PHONY: help run build test check bench soak debug trace sanitize fuzz lock clean
.DEFAULT_GOAL := help

help:      ## list these targets
	@sed -n 's/^\([a-z]*\): *## /  make \1\t/p' Makefile | expand -t 18
run:       ## install and compile what is missing, then serve config/default.yaml on 127.0.0.1:8080
	$(WORKSHOP) run
build:     ## compile gateway/_fast in place
	$(WORKSHOP) build
test:      ## everything CI runs: check, the suite with coverage, the compiled core under trace
	$(WORKSHOP) test
check:     ## ruff, mypy --strict, stubtest, the layers
	$(WORKSHOP) check
bench:     ## measure against nginx, two workers against one, and the compiled core; JSON in benchmarks/results
	$(WORKSHOP) bench
soak:      ## the tests that take longer than 30 seconds
	$(WORKSHOP) soak
debug:     ## compile in place with assertions, bounds checks and symbols (the next run or test compiles again)
	$(WORKSHOP) debug
trace:     ## line coverage of the .pyx files by tests/_fast, in build/trace
	$(WORKSHOP) trace
sanitize:  ## tests/_fast and the C programs of its steps under address, undefined and thread sanitizers
	$(WORKSHOP) sanitize
fuzz:      ## search both connection classes for crashes, hangs, leaks and desyncs, guided by coverage, for FUZZ_SECONDS (120)
	$(WORKSHOP) fuzz
lock:      ## write down the versions installed now in workshop/requirements.lock
	$(WORKSHOP) lock
clean:     ## remove what was built and measured; .venv stays
	$(WORKSHOP) clean
