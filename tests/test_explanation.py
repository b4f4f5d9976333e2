"""What ``llm-gateway explain`` prints, word for word."""

from __future__ import annotations

from pathlib import Path

from gateway.explanation import explanation
from gateway.wiring import load, wire

FILE = """
providers:
  left: {type: custom, endpoint: http://l/v1, timeouts: {connect: 500ms}, models: {a: {id: theirs}, b: {}}}
  right: {type: custom, endpoint: http://r/v1, models: {a: {}}}
models:
  both: {targets: [{provider: right, model: a}, {provider: left, model: a}]}
"""
ALL = """\
a request comes in at /v1/chat/completions, /v1/completions, /v1/embeddings
  head     Overload
  admit    -
  attempt  -
  release  Overload
  settle   -
a: RoundRobin
  left -> theirs   connect 0.5s, first content 60s, idle 60s, total 600s
  right -> a   connect 10s, first content 60s, idle 60s, total 600s
b: RoundRobin
  left -> b   connect 0.5s, first content 60s, idle 60s, total 600s
both: RoundRobin
  right -> a   connect 10s, first content 60s, idle 60s, total 600s
  left -> theirs   connect 0.5s, first content 60s, idle 60s, total 600s"""


def test_the_whole_and_one_model(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE)
    snapshot = wire(load([file], environ={}))
    assert explanation(snapshot) == ALL
    lines = ALL.splitlines()
    assert explanation(snapshot, "b").splitlines() == [*lines[:6], *lines[9:11]]
