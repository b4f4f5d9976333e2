"""Fuzzing of both connection classes of gateway/_fast: scenarios, the stages that play them, and what guides the
search.

A scenario is a list of events (`scenario.py`): bytes come, the other side leaves, writing stalls, an answer is given,
a task is cancelled. A stage plays it against one real compiled connection over a transport and a loop that are made
here (`transport.py`, `turns.py`), so that the same scenario has the same outcome always, and checks what must hold
(`client_stage.py`, `upstream_stage.py`). `make test` replays the scenarios in corpus/; `make fuzz` searches for new
ones (`search.py`), guided by the edges that the compiled code takes (`edges.py`).
"""
