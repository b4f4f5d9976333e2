"""Deadlines: every wait of a request is limited by a number on one wheel; `_fast/timer_wheel.pyx` has the rules."""

from __future__ import annotations

from gateway._fast import Clock, Deadline, DeadlinePassed, Guard, TimerWheel

__all__ = ["Clock", "Deadline", "DeadlinePassed", "Guard", "TimerWheel"]
