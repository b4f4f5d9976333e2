"""The JSON Schema of the configuration file, for editors: the models, as the file writes them.

Every value may also be a reference, so whatever is not text may be a text with ``${`` in it. The sections that name a
``type`` are described by the ``Options`` of the registered types; a ``module:Name`` may have any keys.
"""

from __future__ import annotations

from typing import Any

from gateway.catalog import Catalog, policies, providers, strategies
from gateway.config.model import Config
from gateway.config.provider import ProviderOptions
from gateway.config.section import PolicyOptions, Section, StrategyOptions

REFERENCE = {"type": "string", "pattern": r"\$\{[A-Za-z_]+:"}
AT = "#/$defs/"


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
        **{key: _or_reference(value) for key, value in whole.items() if key != "title"},
    }


def _names(catalog: Catalog) -> dict[str, Any]:
    return {"anyOf": [{"enum": catalog.names()}, {"type": "string", "pattern": "^[^:]+:[^:]+$"}]}


def _by_type(catalog: Catalog, base: type[Section], definitions: dict[str, Any]) -> dict[str, Any]:
    """An object whose ``type`` says which keys it has."""
    cases = []
    for name in catalog.names():
        options: type[Section] = getattr(catalog.get(name), "Options", base)
        definition = options.model_json_schema(ref_template=AT + "{model}")
        definitions.update(definition.pop("$defs", {}))
        for unused in getattr(options, "unused", ()):
            definition["properties"].pop(unused, None)
        own = f"{base.__name__}-{name}"
        definitions[own] = {**definition, "title": f"{catalog.kind} {name}"}
        is_it = {"properties": {"type": {"const": name}}, "required": ["type"]}
        cases.append({"if": is_it, "then": {"$ref": AT + own}})
    return {"type": "object", "required": ["type"], "properties": {"type": _names(catalog)}, "allOf": cases}


def _or_reference(node: Any) -> Any:
    """The same schema, in which every value that is not free text may also be a reference."""
    if isinstance(node, list):
        return [_or_reference(each) for each in node]
    if not isinstance(node, dict):
        return node
    inner = {
        key: value if key in ("default", "if", "required", "enum") else _or_reference(value)
        for key, value in node.items()
    }
    if node.get("type") in ("integer", "number", "boolean") or (
        node.get("type") == "string" and {"pattern", "enum"} & set(node)
    ):
        outer = {key: inner.pop(key) for key in ("default", "title", "description") if key in inner}
        return {"anyOf": [inner, REFERENCE], **outer}
    return inner
