"""What pydantic found wrong, as problems: at their place in the file, in plain English, with a cure.

The rules:

* A missing key is reported where the section begins; an unknown key at the key; anything else at the value.
* What was found is shown, but never what came from a reference and never what stands where a secret belongs.
  A validator of a plug-in may quote what it was given: when that holds such a value, its words are withheld.
* pydantic's own words are the last resort: the table below says them better.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence as Many

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from gateway.config import not_yet
from gateway.config.found import Found, holds_secrets, locate, shown
from gateway.config.nodes import Scalar, Sequence, scalars
from gateway.config.problems import Path, Problems
from gateway.config.shape import is_secret, known_keys, numbers_only

QUOTE = "put it in quotes"
LIST = "write [a, b] or one item a line after a dash"
MAPPING = "write its keys below it, indented, or {} for none"

TEXTS: dict[str, tuple[str, str]] = {
    "missing": ("missing", "add it"),
    "string_type": ("must be text, found {found}", QUOTE),
    "int_type": ("must be a whole number, found {found}", "write a number such as 100"),
    "int_parsing": ("must be a whole number, found {found}", "write a number such as 100"),
    "int_parsing_size": ("is too large a number", "write a smaller one"),
    "int_from_float": ("must be a whole number, found {found}", "write a number such as 100"),
    "float_type": ("must be a number, found {found}", "write a number such as 0.5"),
    "float_parsing": ("must be a number, found {found}", "write a number such as 0.5"),
    "finite_number": ("must be a finite number, found {found}", "write a number such as 0.5"),
    "bool_type": ("must be true or false, found {found}", "write true or false"),
    "bool_parsing": ("must be true or false, found {found}", "write true or false"),
    "greater_than": ("must be more than {gt}, found {found}", ""),
    "greater_than_equal": ("must be at least {ge}, found {found}", ""),
    "less_than": ("must be less than {lt}, found {found}", ""),
    "less_than_equal": ("must be at most {le}, found {found}", ""),
    "string_too_short": ("must not be empty", "write a value, or remove the key"),
    "too_short": ("must not be empty", "add an item"),
    "dict_type": ("must be a mapping, found {found}", MAPPING),
    "model_type": ("must be a mapping, found {found}", MAPPING),
    "model_attributes_type": ("must be a mapping, found {found}", MAPPING),
    "list_type": ("must be a list, found {found}", LIST),
    "tuple_type": ("must be a list, found {found}", LIST),
}

WITHHELD = "is refused; the reason could show a secret"


def report(errors: Many[ErrorDetails], model: type[BaseModel], top: Found, problems: Problems) -> None:
    """Add every error of one validation to ``problems``. ``top`` is what was validated, as ``model``."""
    every = [(error, locate(top, error["loc"], missing=error["type"] == "missing")) for error in errors]
    meant = {_meant(model, error["loc"], found) for error, found in every if error["type"] == "extra_forbidden"}
    real = [each for each in every if each[0]["type"] == "missing" or each[1].absent is None]
    for error, found in real or every:  # what is absent yet wrong was filled in from a value with an error of its own
        if error["type"] == "extra_forbidden":
            problems.add(found.key, found.path, *_unknown(model, error["loc"], found))
        elif error["type"] == "missing" and found.path in meant:
            continue  # misspelt: the unknown key says so
        elif not (isinstance(found.node, Scalar) and found.node.failed) and not _miscounted(error, found):
            _one(error, found, problems)


def prepare(model: type[BaseModel], top: Found, problems: Problems) -> None:
    """Before pydantic looks: mark what is declared a secret; and refuse ``true`` for a number, which it takes for 1."""
    for path, scalar in scalars(top.node):
        scalar.secret = scalar.secret or is_secret(model, path)
        if isinstance(scalar.value, bool) and numbers_only(model, path):
            problem = f"must be a number, found {scalar.text}"
            problems.add(scalar.place, (*top.path, *path), problem, "write a number without quotes")


def suggestion(name: str, known: Many[str], otherwise: str = "known here") -> str:
    """``did you mean "x"?`` when something known is close, else what is known."""
    close = difflib.get_close_matches(name, known, n=1)
    if not close and len(known) == 1 and otherwise == "write one of":
        return f'write "{known[0]}"'
    return f'did you mean "{close[0]}"?' if close else f"{otherwise}: {', '.join(known) or 'nothing'}"


def _miscounted(error: ErrorDetails, found: Found) -> bool:
    """pydantic counts only the items without fault."""
    return error["type"] == "too_short" and isinstance(found.node, Sequence) and bool(found.node.items)


def _one(error: ErrorDetails, found: Found, problems: Problems) -> None:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "refused":
        problem, cure = context["problem"], context["cure"]
    elif kind in ("literal_error", "enum"):
        problem, cure = _one_of(found, re.findall(r"'([^']*)'", str(context["expected"])))
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        tags = re.findall(r"'([^']*)'", str(context.get("expected_tags", "'api_key', 'none'")))
        found = locate(found, (context["discriminator"].strip("'"),), missing=True)
        problem, cure = ("missing", f"write one of: {', '.join(tags)}") if found.absent else _one_of(found, tags)
    elif kind in TEXTS:
        problem, cure = TEXTS[kind]
        problem = problem.format(
            found="{found}", **{name: context[name] for name in ("gt", "ge", "lt", "le") if name in context}
        )
    else:
        problem, cure = _foreign(error, found), ""
    if cure == QUOTE and (not isinstance(found.node, Scalar) or found.node.value is None):
        cure = "write a text"
    problems.add(found.place, found.path, problem.replace("{found}", shown(found.node, found.path)), cure)


def _one_of(found: Found, known: Many[str]) -> tuple[str, str]:
    if isinstance(found.node, Scalar) and isinstance(value := found.node.value, str) and not found.node.referred:
        return not_yet.about_value(found.path, value) or (
            "{found} is not known here",
            suggestion(value, known, "write one of"),
        )
    return "{found} is not known here", suggestion("", known, "write one of")


def _foreign(error: ErrorDetails, found: Found) -> str:
    """The words of somebody else's validator, unless they quote what must not be shown."""
    if isinstance(found.node, Scalar) and (found.node.referred or found.node.secret):
        return WITHHELD
    raised = error.get("ctx", {}).get("error")
    words = str(raised) if raised is not None else error["msg"][:1].lower() + error["msg"][1:]
    hidden = [
        str(scalar.value)
        for path, scalar in scalars(found.node, found.path)
        if scalar.value not in (None, "", True, False) and (scalar.referred or scalar.secret or holds_secrets(path))
    ]
    if any(secret in words or repr(secret)[1:-1] in words for secret in hidden):
        return WITHHELD
    return " ".join(words.split())


def _unknown(model: type[BaseModel], loc: tuple[str | int, ...], found: Found) -> tuple[str, str]:
    return not_yet.about_key(found.path) or ("unknown key", suggestion(str(loc[-1]), known_keys(model, loc)))


def _meant(model: type[BaseModel], loc: tuple[str | int, ...], found: Found) -> Path:
    close = difflib.get_close_matches(str(loc[-1]), known_keys(model, loc), n=1)
    return (*found.path[:-1], *close)
