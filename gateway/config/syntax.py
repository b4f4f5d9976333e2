"""What libyaml says about text that is not YAML, said to somebody who only wanted to change a setting.

libyaml's own words are fixed sentences: none of them quotes the file, so none can show a secret.
"""

from __future__ import annotations

import re

import yaml

from gateway.config.problems import Place

CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
BREAK = re.compile("[\x85\u2028\u2029]")
QUOTE = 'put text with : { } [ ] in quotes, as "${env:NAME}" or "[::1]:8080"'
INDENT = "look at the indentation and the quotes above this place"

SENTENCES: dict[str, tuple[str, str]] = {
    "mapping values are not allowed in this context": ('a ":" is not expected here', f"{INDENT}, or {QUOTE}"),
    "did not find expected node content": ("a value is expected here", QUOTE),
    "did not find expected ',' or '}'": ('a "," or "}" is expected here', QUOTE),
    "did not find expected ',' or ']'": ('a "," or "]" is expected here', QUOTE),
    "did not find expected key": ("a key is expected here", INDENT),
    "could not find expected ':'": ('a ":" is expected here', INDENT),
    "did not find expected '-' indicator": ('a "-" is expected here', INDENT),
    "found unexpected end of stream": ("this text in quotes has no end", "close the quotes"),
    "found unknown escape character": ('unknown "\\" escape in a quoted text', "use single quotes, or write \\\\"),
}


def explained(error: yaml.YAMLError, text: str, file: str) -> tuple[Place, str, str]:
    """Place, problem and cure of a syntax error."""
    sentence = getattr(error, "problem", None)
    begun = getattr(error, "context_mark", None)
    mark = begun if sentence == "found unexpected end of stream" else getattr(error, "problem_mark", None)
    if mark is None or sentence is None:
        return unprintable(text, file) or (Place(file, 1, 1), "not valid YAML", "")
    place = Place(file, mark.line + 1, mark.column + 1)
    found = text[mark.index : mark.index + 1]
    if sentence == "found character that cannot start any token":
        if found == "\t":
            return place, "a tab is used to indent", "use spaces"
        return place, f'a value cannot begin with "{found}"', "put the text in quotes"
    problem, cure = SENTENCES.get(sentence, (f"not valid YAML: {sentence}", INDENT))
    if begun is not None and begun.line != mark.line and "did not find expected '," in sentence:
        problem += f", for what opens in line {begun.line + 1}"
    return place, problem, cure


def unprintable(text: str, file: str) -> tuple[Place, str, str] | None:
    """The first character that YAML does not allow, which libyaml reports without a place."""
    found = CONTROL.search(text)
    if found is None:
        return None
    return _place(text, file, found.start()), f"the character U+{ord(found[0]):04X} is not allowed in YAML", "remove it"


def odd_break(text: str, file: str) -> tuple[Place, str, str] | None:
    """The first character that ends a line for libyaml and for no editor: every place after it would be wrong."""
    found = BREAK.search(text)
    if found is None:
        return None
    problem = f"the character U+{ord(found[0]):04X}, an invisible line break, is not allowed here"
    return _place(text, file, found.start()), problem, "remove it"


def _place(text: str, file: str, index: int) -> Place:
    return Place(file, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))
