"""What ps and top call a process."""

from __future__ import annotations

from setproctitle import setproctitle


def set_title(role: str) -> None:
    setproctitle(f"llm-gateway: {role}")
