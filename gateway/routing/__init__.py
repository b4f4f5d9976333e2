"""Which target takes an attempt: one strategy per file. This list is what ships."""

from gateway.routing import round_robin

__all__ = ["round_robin"]
