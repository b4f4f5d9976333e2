"""What the models say about a place in the file: which keys a section has, which type a value has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, SecretStr

Step = str | int


def known_keys(model: type[BaseModel], loc: Sequence[Step]) -> list[str]:
    """The keys of the section in which ``loc`` names one."""
    kind = reduce(_inside, loc[:-1], model)
    return [name for section in _sections(kind) for name in section.model_fields]


def numbers_only(model: type[BaseModel], path: Sequence[Step]) -> bool:
    """Whether a number is the only thing that may stand there. A validator that reads the raw value knows best."""
    kinds = _parts(reduce(_inside, path, model))
    return bool(kinds & {int, float}) and not kinds & {bool, Any, object, BeforeValidator}


def is_secret(model: type[BaseModel], path: Sequence[Step]) -> bool:
    """Whether what stands there is declared a secret."""
    return SecretStr in _parts(reduce(_inside, path, model))


def _inside(kind: Any, step: Step) -> Any:
    """The type one step further down from a type, or None."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _inside(parts[0], step)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(step))
        return None if field is None else Annotated[field.annotation, "field", *field.metadata]
    if isinstance(origin, type) and issubclass(origin, (dict, list, tuple)):
        return parts[-1] if issubclass(origin, dict) else parts[0]
    for section in _sections(kind):  # in a union pydantic's path names the kind of section, then goes on inside it
        if "type" in section.model_fields and step in get_args(section.model_fields["type"].annotation):
            return section
    return next((inner for part in parts if (inner := _inside(part, step)) is not None), None)


def _sections(kind: Any) -> list[type[BaseModel]]:
    if isinstance(kind, type) and get_origin(kind) is None:
        return [kind] if issubclass(kind, BaseModel) else []
    return [section for part in get_args(kind) for section in _sections(part)]


def _parts(kind: Any) -> set[Any]:
    """A type and every type that it is made of; of what annotates it, the classes."""
    if get_origin(kind) is not None:
        return {part for each in get_args(kind) for part in _parts(each)}
    return {kind if isinstance(kind, type) or kind is Any else type(kind)}
