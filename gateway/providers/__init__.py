"""Whom we call: one provider per file. This list is what ships."""

from gateway.providers import custom, echo, openai

__all__ = ["custom", "echo", "openai"]
