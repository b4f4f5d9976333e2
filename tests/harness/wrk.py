"""wrk, which asks as fast as it is answered, and counts whatever is not a 200."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path

SCRIPT = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"model":"MODEL","messages":[{"role":"user","content":"hello from wrk"}]}'
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init() wrong, first = 0, "" end
function response(status, headers, body)
  if status ~= 200 or not body:find("hello from wrk", 1, true) then
    wrong = wrong + 1
    if first == "" then first = status .. " " .. body:sub(1, 200) end
  end
end
function done(summary)
  local e, wrong, first = summary.errors, 0, ""
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("wrong")
    if first == "" then first = thread:get("first") end
  end
  io.write(string.format(
    'RESULT {"answered": %d, "wrong": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\\n%s\\n',
    summary.requests, wrong, e.connect, e.read, e.write, e.timeout, first))
end
"""
KINDS = ("wrong", "connect", "read", "write", "timeout")


class Wrk:
    """Runs until `result` is asked for."""

    program = shutil.which("wrk")

    def __init__(self, folder: Path, port: int, *, connections: int, model: str) -> None:
        (folder / "load.lua").write_text(SCRIPT.replace("MODEL", model))
        assert self.program is not None
        self._command = [self.program, "-t1", f"-c{connections}", "-d3600s", "--timeout", "30s"]
        self._command += ["-s", str(folder / "load.lua"), f"http://127.0.0.1:{port}/v1/chat/completions"]

    def __enter__(self) -> Wrk:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def result(self) -> dict[str, int]:
        """End it; how many were answered, and how many went wrong, by kind."""
        assert self.process.poll() is None, "it ended before its time"
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=60)
        found = re.search(r"^RESULT (\{.*\})$", said, re.MULTILINE)
        assert found is not None, said
        counts: dict[str, int] = json.loads(found[1])
        assert counts["answered"] > 0, said
        return counts
