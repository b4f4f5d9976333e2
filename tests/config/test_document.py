"""YAML to nodes: what plain words mean, where things stand, and what cannot be done to us."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as some

from gateway.config.document import MAX_DEPTH, MAX_NODES, parse
from gateway.config.nodes import Mapping, child, plain
from gateway.config.problems import Place, Problems


def read(text: str) -> Any:
    problems = Problems()
    tree = parse(text, "x.yaml", problems)
    assert not problems, [str(each) for each in problems.sorted([])]
    assert tree is not None
    return plain(tree)


def said(text: str) -> list[str]:
    problems = Problems()
    parse(text, "x.yaml", problems)
    return [str(each) for each in problems.sorted([])]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("5", 5), ("-5", -5), ("1.5", 1.5),
        ("1e3", 1000.0), (".inf", float("inf")), ("on", "on"), ("off", "off"), ("yes", "yes"), ("NO", "NO"), ("y", "y"),
        ("010", "010"), ("0x10", "0x10"), ("1_000", "1_000"), ("12:30:45", "12:30:45"), ("2027-01-01", "2027-01-01"),
        ("'5'", "5"), ('"true"', "true"), ("!!str 5", "5"), ("! 5", "5"), ("|\n  a\n  b\n", "a\nb\n"), ("=", "="),
        ("9" * 5000, "9" * 5000), ("1e999", "1e999"), ("[1, a]", [1, "a"]), ("{b: {}}", {"b": {}}),
    ],
)  # fmt: skip
def test_what_a_word_means(text: str, value: Any) -> None:
    assert read(f"a: {text}") == {"a": value}
    assert type(read(f"a: {text}")["a"]) is type(value)


def test_merge_keys() -> None:
    text = """
        x: &x {a: 1, b: 1}
        y: &y {b: 2, c: 2}
        one: {<<: *x, b: 3}
        two: {b: 3, <<: [*x, *y]}
        three: {<<: {q: 1}}
        name: {"<<": 5}
        """
    assert read(text) == {
        "x": {"a": 1, "b": 1},
        "y": {"b": 2, "c": 2},
        "one": {"a": 1, "b": 3},
        "two": {"a": 1, "b": 3, "c": 2},
        "three": {"q": 1},
        "name": {"<<": 5},
    }


def test_an_anchor_may_be_defined_again() -> None:
    assert read("a: &x 1\nb: *x\nc: &x 2\nd: *x\n") == {"a": 1, "b": 1, "c": 2, "d": 2}
    assert read("a: &x word\n*x : b\n") == {"a": "word", "word": "b"}


def test_places_are_counted_in_characters_from_one() -> None:
    problems = Problems()
    tree = parse("größe: {ü😀: [x, y]}\nb:\n  c: d\n", "x.yaml", problems)
    assert isinstance(tree, Mapping)
    inner = child(tree, "größe")
    assert isinstance(inner, Mapping)
    assert inner.place == Place("x.yaml", 1, 8)
    assert inner.entries["ü😀"].key == Place("x.yaml", 1, 9)
    second = child(inner.entries["ü😀"].node, 1)
    assert second is not None
    assert second.place == Place("x.yaml", 1, 17)
    assert tree.entries["b"].key == Place("x.yaml", 2, 1)
    assert child(tree.entries["b"].node, "c") is not None
    assert child(tree.entries["b"].node, 0) is None


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_any_depth_is_a_problem_and_no_crash(brackets: str) -> None:
    opening = "[" if brackets == "[]" else "{a: "
    for depth in (MAX_DEPTH, 5_000, 200_000):
        (line,) = said("a: " + opening * depth)
        assert f"nested more than {MAX_DEPTH} deep" in line
    assert said("a: " + opening * (MAX_DEPTH - 1) + brackets[1] * (MAX_DEPTH - 1)) == []


def test_aliases_are_counted_as_if_written_out() -> None:
    nine = "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    (line,) = said(f"a: &a [x]\n{nine}\n")
    assert f"more than {MAX_NODES} values" in line
    assert "more than" in said("a: [" + "x, " * MAX_NODES + "]")[0]


@given(some.text(some.sampled_from("a:b -[]{}&*!|>'\"#%@`,?\n\t<~0\\$"), max_size=40))
@example("? a")
@example("*")
@example("- - - ")
@example("&a &b c")
@example("<<: <<")
@settings(max_examples=400, deadline=None)
def test_any_text_gives_values_or_a_problem_with_a_place(text: str) -> None:
    problems = Problems()
    tree = parse(text, "x.yaml", problems)
    assert tree is not None or problems
    lines = text.count("\n") + 1
    assert all(1 <= each.line <= lines + 1 and each.column >= 1 for each in problems.sorted([]))


json_like = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(10**15), 10**15)
    | some.text(some.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(some.text("abcxyz", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(some.dictionaries(some.sampled_from(["one", "two", "three"]), json_like, min_size=1))
@settings(deadline=None)
def test_what_yaml_writes_is_read_back(value: dict[str, Any]) -> None:
    # a YAML 1.1 writer quotes whatever might be something else
    assert read(yaml.safe_dump(value)) == value
