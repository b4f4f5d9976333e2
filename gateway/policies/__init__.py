"""What may happen before and after an attempt: one policy per file. This list is what ships."""

from gateway.policies import overload

__all__ = ["overload"]
