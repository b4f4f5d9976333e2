"""Several files: a later one is laid over an earlier one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.config import ConfigError, load
from gateway.config.document import parse
from gateway.config.merge import overlay
from gateway.config.nodes import Entry, Mapping, Node, Scalar, plain
from gateway.config.problems import Place, Problems

PLACE = Place("x", 1, 1)

trees = some.recursive(
    some.integers(0, 9), lambda inner: some.dictionaries(some.sampled_from("abc"), inner, max_size=3), max_leaves=12
)


def node(value: Any) -> Node:
    if isinstance(value, dict):
        return Mapping(PLACE, {key: Entry(PLACE, node(each)) for key, each in value.items()})
    return Scalar(PLACE, str(value), value)


def laid_over(under: Any, over: Any) -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        return {key: laid_over(under.get(key), over[key]) if key in over else under[key] for key in {**under, **over}}
    return over


@given(some.dictionaries(some.sampled_from("abc"), trees), some.dictionaries(some.sampled_from("abc"), trees))
def test_mappings_are_merged_at_every_depth(under: dict[str, Any], over: dict[str, Any]) -> None:
    one, two = node(under), node(over)
    assert isinstance(one, Mapping)
    assert isinstance(two, Mapping)
    assert plain(overlay(one, two)) == laid_over(under, over)
    assert (plain(one), plain(two)) == (under, over)


def test_lists_and_values_are_replaced(write: Any) -> None:
    first = write(
        """
        server: {listen: "127.0.0.1:1", max_in_flight: 5}
        providers: {echo: {type: echo, pace: 1s}}
        models: {m: {targets: [{provider: echo, model: a}, {provider: echo, model: b}]}}
        """,
        "one.yaml",
    )
    second = write(
        """
        server: {listen: "127.0.0.1:2"}
        providers: {echo: {pace: 2s}, other: {type: echo}}
        models: {m: {targets: [{provider: other}]}}
        """,
        "two.yaml",
    )
    config = load([first, second], environ={})
    assert (config.server.listen, config.server.max_in_flight) == (("127.0.0.1:2",), 5)
    assert list(config.providers) == ["echo", "other"]
    assert [(target.provider, target.model) for target in config.models["m"].targets] == [("other", "m")]


def test_three_files_and_order(write: Any) -> None:
    files = [write(f'logging: {{log: "{number}"}}', f"{number}.yaml") for number in range(3)]
    assert load(files, environ={}).logging.log == "2"
    assert load(files[::-1], environ={}).logging.log == "0"


def test_a_file_that_cannot_be_read_is_one_problem_and_the_only_one(write: Any, tmp_path: Path) -> None:
    good = write("models: {m: {targets: [{provider: in-the-other-file}]}}")
    for bad in (tmp_path / "none.yaml", tmp_path, "a\0b"):
        with pytest.raises(ConfigError) as caught:
            load([good, bad], environ={})
        assert [problem.file for problem in caught.value.problems] == [str(bad)]


def test_no_file_at_all() -> None:
    with pytest.raises(ConfigError, match="no file was named"):
        load([], environ={})


def test_a_file_that_is_too_large(write: Any) -> None:
    with pytest.raises(ConfigError, match="larger than 16MiB"):
        load([write("#" * (16 << 20) + "\n")], environ={})


def test_problems_stand_in_the_order_of_the_files(write: Any) -> None:
    files = [write("server:\n  zzz: 1\n  aaa: 2\n", f"{name}.yaml") for name in "ba"]
    second = write("server:\n  bbb: 1\n", "c.yaml")
    with pytest.raises(ConfigError) as caught:
        load([*files, second], environ={})
    assert [(Path(each.file).name, each.line) for each in caught.value.problems] == [
        ("a.yaml", 2),
        ("a.yaml", 3),
        ("c.yaml", 2),
    ]


def test_an_aliased_mapping_is_not_changed_by_merging() -> None:
    problems = Problems()
    tree = parse("a: &a {x: 1}\nb: *a\n", "x", problems)
    over = parse("a: {x: 2}\n", "y", problems)
    assert tree is not None
    assert over is not None
    assert plain(overlay(tree, over)) == {"a": {"x": 2}, "b": {"x": 1}}
