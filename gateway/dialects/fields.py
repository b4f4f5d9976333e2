"""Rules for the fields of a JSON request: each one checks a value and states itself as JSON Schema.

A dialect lists its fields once; validation and ``/openapi.json`` both come from that list, so the
published schema cannot drift from what is enforced. The rules:

* A wrong value raises `GatewayError` with the parameter's path (``messages[0].role``), what is wrong
  and what would be right. The value itself is quoted only when it is short.
* Unknown fields pass: OpenAI-compatible servers carry extensions at every level.
* An optional field may be null, which means absent. A bool is not a number.
* Where a wrong value stands is put together on the way out of an error: good requests pay nothing for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway import errors
from gateway.errors import GatewayError

Schema = dict[str, Any]


class Rule(Protocol):
    """One kind of value."""

    schema: Schema

    def check(self, value: Any) -> None:
        """Raises Wrong."""


class Wrong(Exception):
    """What is wrong, and where: names and indices from the inside out."""

    def __init__(self, problem: str, *where: str | int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.where: list[str | int] = list(where)

    @property
    def path(self) -> str:
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in reversed(self.where))
        return "".join(steps).removeprefix(".")


def check(rule: Rule, value: Any) -> None:
    """Raises GatewayError naming the parameter."""
    try:
        rule.check(value)
    except Wrong as wrong:
        raise GatewayError(errors.VALIDATION, f"{wrong.path}: {wrong.problem}", param=wrong.path) from None


def shown(value: Any) -> str:
    """A value as an error message may show it."""
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "an array", dict: "an object"}
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, str) and len(value) <= 40:
        return f'"{value}"'
    return names.get(type(value), "a number")


class Number:
    """A number in [low, high]; both ends belong to it."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.schema: Schema = {"type": "number", "minimum": low, "maximum": high}

    def check(self, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Wrong(f"must be a number between {self.low} and {self.high}, not {shown(value)}")
        if not self.low <= value <= self.high:
            raise Wrong(f"must be between {self.low} and {self.high}, got {value}")


class Integer:
    """A whole number, at least `low`, at most `high` where there is a most. ``2.0`` counts as 2."""

    def __init__(self, low: int | None = None, high: int | None = None) -> None:
        self.low, self.high = low, high
        self.schema: Schema = {"type": "integer"}
        if low is not None:
            self.schema["minimum"] = low
        if high is not None:
            self.schema["maximum"] = high

    def check(self, value: Any) -> None:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole:
            raise Wrong(f"must be a whole number, not {shown(value)}")
        if self.low is not None and value < self.low:
            raise Wrong(f"must be at least {self.low}, got {value}")
        if self.high is not None and value > self.high:
            raise Wrong(f"must be at most {self.high}, got {value}")


class Boolean:
    schema: Schema = {"type": "boolean"}

    def check(self, value: Any) -> None:
        if not isinstance(value, bool):
            raise Wrong(f"must be true or false, not {shown(value)}")


class Text:
    """A string; `pattern` and its meaning in words where not any will do."""

    def __init__(self, *, nonempty: bool = False, pattern: str | None = None, meaning: str = "") -> None:
        self.schema: Schema = {"type": "string"}
        self.nonempty = nonempty
        self.meaning = meaning
        self.pattern = re.compile(pattern) if pattern else None
        if nonempty:
            self.schema["minLength"] = 1
        if pattern:
            self.schema["pattern"] = f"^(?:{pattern})$"

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise Wrong(f"must be a string, not {shown(value)}")
        if self.nonempty and not value:
            raise Wrong("must not be empty")
        if self.pattern is not None and not self.pattern.fullmatch(value):
            raise Wrong(f"must be {self.meaning}, not {shown(value)}")


class OneOf:
    """One of some strings."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.schema: Schema = {"enum": list(known)}

    def check(self, value: Any) -> None:
        if not isinstance(value, str) or value not in self.known:
            raise Wrong(f"must be one of {', '.join(self.known)}, not {shown(value)}")


class ListOf:
    """An array of one kind of value."""

    def __init__(self, item: Rule, *, nonempty: bool = False) -> None:
        self.item, self.nonempty = item, nonempty
        self.schema: Schema = {"type": "array", "items": item.schema}
        if nonempty:
            self.schema["minItems"] = 1

    def check(self, value: Any) -> None:
        if not isinstance(value, list):
            raise Wrong(f"must be an array, not {shown(value)}")
        if self.nonempty and not value:
            raise Wrong("must not be empty")
        check = self.item.check
        for index, item in enumerate(value):
            try:
                check(item)
            except Wrong as wrong:
                wrong.where.append(index)
                raise


_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "array": (list,),
    "object": (dict,),
    "integer": (int, float),
    "null": (type(None),),
}


def fits(rule: Rule, value: Any) -> bool:
    """Is `value` of the JSON type that `rule` judges?"""
    kind = rule.schema.get("type", "string")
    if isinstance(value, bool) or not isinstance(value, _TYPES[kind]):
        return False
    return not isinstance(value, float) or value.is_integer()


class Either:
    """The first alternative whose JSON type fits the value judges it."""

    def __init__(self, meaning: str, *alternatives: Rule) -> None:
        self.meaning, self.alternatives = meaning, alternatives
        self.schema: Schema = {"anyOf": [alternative.schema for alternative in alternatives]}

    def check(self, value: Any) -> None:
        for alternative in self.alternatives:
            if fits(alternative, value):
                return alternative.check(value)
        raise Wrong(f"must be {self.meaning}, not {shown(value)}")


class Uniform:
    """An array whose first item decides which of the alternatives all items must be."""

    def __init__(self, meaning: str, *alternatives: Rule) -> None:
        self.lists = [ListOf(alternative, nonempty=True) for alternative in alternatives]
        self.meaning = meaning
        self.schema: Schema = {"type": "array", "minItems": 1, "anyOf": [each.schema for each in self.lists]}

    def check(self, value: Any) -> None:
        if not value:
            raise Wrong("must not be empty")
        for each in self.lists:
            if fits(each.item, value[0]):
                return each.check(value)
        raise Wrong(f"must be {self.meaning}, not {shown(value[0])}", 0)


class Object:
    """An object with these fields; others pass."""

    def __init__(self, required: Mapping[str, Rule] | None = None, optional: Mapping[str, Rule] | None = None) -> None:
        self.required = dict(required or {})
        self.optional = dict(optional or {})
        properties = {name: rule.schema for name, rule in self.required.items()}
        properties |= {name: {"anyOf": [rule.schema, {"type": "null"}]} for name, rule in self.optional.items()}
        self.schema: Schema = {"type": "object", "properties": properties}
        if self.required:
            self.schema["required"] = list(self.required)

    def check(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise Wrong(f"must be an object, not {shown(value)}")
        name = ""
        try:
            for name, rule in self.required.items():
                if name not in value:
                    raise Wrong("is required")
                rule.check(value[name])
            optional = self.optional
            for name, item in value.items():
                if item is not None and name in optional:
                    optional[name].check(item)
        except Wrong as wrong:
            wrong.where.append(name)
            raise


class Tagged:
    """An object whose string field `tag` decides which rule judges it; with `others`, unknown tags pass."""

    def __init__(self, tag: str, kinds: Mapping[str, Object], *, others: bool = False) -> None:
        self.tag, self.kinds, self.others = tag, kinds, others
        branches = [_with_tag(tag, [name], rule.schema) for name, rule in kinds.items()]
        if others:
            branches.append(_with_tag(tag, None, {}, excluding=list(kinds)))
        self.schema: Schema = {"type": "object", "oneOf": branches}

    def check(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise Wrong(f"must be an object, not {shown(value)}")
        tag = value.get(self.tag)
        if tag is None:
            raise Wrong("is required", self.tag)
        rule = self.kinds.get(tag) if isinstance(tag, str) else None
        if rule is not None:
            rule.check(value)
        elif not self.others or not isinstance(tag, str):
            raise Wrong(f"must be one of {', '.join(self.kinds)}, not {shown(tag)}", self.tag)


def _with_tag(tag: str, names: Sequence[str] | None, schema: Schema, excluding: Sequence[str] = ()) -> Schema:
    kind: Schema = {"enum": list(names)} if names else {"type": "string", "not": {"enum": list(excluding)}}
    return {
        "type": "object",
        **schema,
        "properties": {**schema.get("properties", {}), tag: kind},
        "required": [tag, *schema.get("required", [])],
    }
