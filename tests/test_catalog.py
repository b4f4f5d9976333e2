"""The catalog: names to classes, duplicates refused, third parties by module:Name and by entry point."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gateway import catalog
from gateway.catalog import Catalog, UnknownName


class One: ...


class Two: ...


@pytest.fixture
def things() -> Catalog:
    catalog_ = Catalog("thing", "tests.things")
    catalog_.register("one")(One)
    return catalog_


def publish(monkeypatch: pytest.MonkeyPatch, **values: str | list[str]) -> None:
    points = [
        EntryPoint(name, each, "tests.things")
        for name, value in values.items()
        for each in ([value] if isinstance(value, str) else value)
    ]

    def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        assert group == "tests.things"
        return [point for point in points if name in (None, point.name)]

    monkeypatch.setattr(catalog, "entry_points", entry_points)


def test_a_registered_name_is_found(things: Catalog) -> None:
    assert things.get("one") is One
    assert things.names() == ["one"]


def test_a_name_taken_is_refused_with_both_places(things: Catalog) -> None:
    with pytest.raises(ValueError, match=r"thing 'one' is registered twice: .*test_catalog:One and .*test_catalog:Two"):
        things.register("one")(Two)
    assert things.get("one") is One


def test_registering_the_same_class_again_is_nothing(things: Catalog) -> None:
    assert things.register("one")(One) is One


def test_an_unknown_name_gets_a_suggestion_or_the_list(things: Catalog) -> None:
    with pytest.raises(UnknownName, match=r'unknown thing "onee"; did you mean "one"\?'):
        things.get("onee")
    with pytest.raises(UnknownName, match='unknown thing "xyz"; known: one; or module:Name'):
        things.get("xyz")


def test_module_and_name(things: Catalog) -> None:
    assert things.get(f"{__name__}:Two") is Two


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no.such.module:Name", "ModuleNotFoundError: No module named 'no'"),
        (f"{__name__}:Three", "AttributeError: .*Three"),
        (":Name", "ValueError"),
        (f"{__name__}:", "AttributeError"),
        ("broken_on_import:Name", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_cannot_be_loaded_says_why(
    name: str, said: str, things: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_on_import.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownName, match=f'thing "{name}" cannot be loaded: {said}'):
        things.get(name)


def test_an_entry_point_is_loaded_when_it_is_asked_for(things: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, two=f"{__name__}:Two", three="no.such.module:Name")
    assert things.names() == ["one", "three", "two"]
    assert "no" not in sys.modules
    assert things.get("two") is Two
    with pytest.raises(UnknownName, match='thing "three" cannot be loaded: ModuleNotFoundError'):
        things.get("three")


def test_a_package_cannot_replace_what_ships(things: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, one=f"{__name__}:Two")
    assert things.get("one") is One


def test_two_packages_cannot_share_a_name(things: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, two=[f"{__name__}:Two", "other:Two"], same=[f"{__name__}:Two"] * 2)
    with pytest.raises(UnknownName, match=r'"two" is published twice: .*:Two and other:Two; write one as module:Name'):
        things.get("two")
    assert things.get("same") is Two  # the same one, seen twice on the path
