"""What a check of a configuration comes to, and how that crosses a pipe.

The supervisor reads it, so it is made of builtins: JSON, and the configuration as one string of bytes which only a
worker unpickles. A frame is two lengths, the JSON, the bytes.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

from gateway.server.settings import Settings

HEAD = struct.Struct("!QQ")  # bytes of JSON, bytes of configuration


@dataclass(frozen=True, slots=True)
class Approved:
    """The configuration is right, from its first line to its last plug-in."""

    settings: Settings
    config: bytes  # for workers alone: it may hold secrets, and instances of anybody's classes
    warnings: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Everything that is wrong: ``file:line:column: path: what; the cure``."""

    problems: tuple[str, ...]

    @property
    def text(self) -> str:
        """As ``llm-gateway check`` prints it."""
        count = len(self.problems)
        return "".join(f"{problem}\n" for problem in self.problems) + f"{count} problem{'' if count == 1 else 's'}\n"


def to_frame(found: Approved | Refused) -> bytes:
    config = b""
    if isinstance(found, Refused):
        fields: dict[str, object] = {"problems": found.problems}
    else:
        config = found.config
        fields = {"settings": found.settings.to_json(), "warnings": found.warnings, "models": found.models}
    text = json.dumps(fields).encode()
    return HEAD.pack(len(text), len(config)) + text + config


def from_frame(received: bytes | bytearray) -> Approved | Refused | None:
    """None as long as a part of the frame is missing."""
    if len(received) < HEAD.size:
        return None
    text, config = HEAD.unpack_from(received)
    if len(received) < HEAD.size + text + config:
        return None
    fields = json.loads(received[HEAD.size : HEAD.size + text])
    if "problems" in fields:
        return Refused(tuple(fields["problems"]))
    return Approved(
        settings=Settings.from_json(fields["settings"]),
        config=bytes(received[HEAD.size + text : HEAD.size + text + config]),
        warnings=tuple(fields["warnings"]),
        models=tuple(fields["models"]),
    )
