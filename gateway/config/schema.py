"""The JSON Schema of the configuration file, for editors: the models, as the file writes them.

Every value may also be a reference, so whatever is not text may be a text with ``${`` in it. The sections that name a
``type`` are described by the ``Options`` of the registered types; a ``module:Name`` may have any keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.catalog import Catalog, policies, providers, strategies
from gateway.config.model import Config
from gateway.config.provider import ProviderOptions
from gateway.config.section import PolicyOptions, Section, StrategyOptions
from gateway.config.units import DURATION_PATTERN, SIZE_PATTERN, write_duration, write_size

REFERENCE = {"type": "string", "pattern": r"\$\{[A-Za-z_]+:"}
AT = "#/$defs/"
DROPPED = frozenset({"title", "writeOnly", "format", "discriminator"})
NAMED = frozenset({"properties", "$defs", "patternProperties"})
NESTED = frozenset({"anyOf", "allOf", "oneOf", "items", "additionalProperties", "then", "prefixItems"})
WRITERS: dict[str, Callable[[Any], str]] = {DURATION_PATTERN: write_duration, SIZE_PATTERN: write_size}


def schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of the whole file, with every type the catalogs know."""
    whole = Config.model_json_schema(ref_template=AT + "{model}")
    definitions = whole["$defs"]
    definitions["ProviderOptions"] = _by_type(providers, ProviderOptions, definitions)
    definitions["PolicyOptions"] = _by_type(policies, PolicyOptions, definitions)
    strategy = _by_type(strategies, StrategyOptions, definitions)
    definitions["StrategyOptions"] = {"anyOf": [{"$ref": AT + "StrategyName"}, strategy]}
    definitions["StrategyName"] = _names(strategies)
    definitions["Target"]["required"] = ["provider"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "llm-gateway configuration",
        **_for_editors(whole),
    }


def _names(catalog: Catalog) -> dict[str, Any]:
    return {"anyOf": [*({"const": name} for name in catalog.names()), {"type": "string", "pattern": "^[^:]+:[^:]+$"}]}


def _by_type(catalog: Catalog, base: type[Section], definitions: dict[str, Any]) -> dict[str, Any]:
    """An object whose ``type`` says which keys it has."""
    cases = []
    for name in catalog.names():
        options: type[Section] = getattr(catalog.get(name), "Options", base)
        own = f"{base.__name__}-{name}"
        definition = _defined(options.model_json_schema(ref_template=AT + "{model}"), own, definitions)
        for unused in getattr(options, "unused", ()):
            definition["properties"].pop(unused, None)
        definitions[own] = definition
        is_it = {"properties": {"type": {"const": name}}, "required": ["type"]}
        cases.append({"if": is_it, "then": {"$ref": AT + own}})
    whole = {"type": "object", "required": ["type"], "properties": {"type": _names(catalog)}}
    return {**whole, "allOf": cases} if cases else whole


def _defined(definition: dict[str, Any], own: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A model's schema with the models it needs moved to the common definitions, under a name of its own if taken."""
    needed = definition.pop("$defs", {})
    renamed = {name: f"{own}-{name}" for name, each in needed.items() if definitions.get(name, each) != each}

    def pointed(node: Any) -> Any:
        if isinstance(node, list):
            return [pointed(each) for each in node]
        if not isinstance(node, dict):
            return renamed_reference(node)
        return {key: pointed(value) for key, value in node.items()}

    def renamed_reference(value: Any) -> Any:
        known = isinstance(value, str) and value.startswith(AT) and renamed.get(value.removeprefix(AT))
        return AT + known if known else value

    definitions.update({renamed.get(name, name): pointed(each) for name, each in needed.items()})
    pointed_definition: dict[str, Any] = pointed(definition)
    return pointed_definition


def _for_editors(node: Any) -> Any:
    """The same schema as the file is written: any value but free text may also be a reference, units have names."""
    if isinstance(node, list):
        return [_for_editors(each) for each in node]
    if not isinstance(node, dict):
        return node
    inner = {key: value for key, value in node.items() if key not in DROPPED}
    for key in NAMED & inner.keys():
        inner[key] = {name: _for_editors(each) for name, each in inner[key].items()}
    for key in NESTED & inner.keys():
        inner[key] = _for_editors(inner[key])
    outer = {key: inner.pop(key) for key in ("description", "default") if key in inner}
    if isinstance(outer.get("default"), dict):
        del outer["default"]  # said again, key by key, by the section itself
    elif "default" in outer and inner.get("pattern") in WRITERS:
        outer["default"] = WRITERS[inner["pattern"]](outer["default"])
    if inner.get("type") in ("integer", "number", "boolean") or (inner.keys() & {"pattern", "enum"}):
        inner = {"anyOf": [inner, REFERENCE]}
    return {**outer, **inner}
