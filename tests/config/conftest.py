"""A small, fixed set of extensions, so that messages which list them stay the same whatever ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, SecretStr, field_validator, model_validator

from gateway import catalog
from gateway.config import Duration, Endpoint, PolicyOptions, ProviderOptions, Section, StrategyOptions

ENVIRONMENT = {"KEY": "sk-canary-3141592653589793", "EMPTY": "", "WORD": "canary-word", "LINES": "sk-canary\nrest"}


class OpenAI:
    """No Options: what every provider has."""


class Echo:
    class Options(ProviderOptions):
        unused = frozenset({"endpoint", "auth"})
        pace: Duration = 0.02
        error_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
        error_status: int = 503


class Custom:
    class Options(ProviderOptions):
        endpoint: Endpoint


class Talkative:
    """Its validators quote what they were given, as a careless plug-in may."""

    class Options(ProviderOptions):
        code: SecretStr | None = None
        word: str = ""
        sizes: tuple[int, ...] = ()

        @field_validator("word")
        @classmethod
        def _refuse(cls, word: str) -> str:
            if word.startswith("CANARY"):
                raise ValueError(f"no capitals: {word.lower()}")
            if "canary" in word or "bird" in word:
                raise ValueError(f"no birds here, not even {word!r}")
            return word

        @model_validator(mode="after")
        def _code(self) -> Any:
            if self.code is not None:
                raise ValueError(f"the code {self.code.get_secret_value()} is known to everyone")
            return self


class Broken:
    class Options(Section):
        type: str


class Crashing:
    class Options(ProviderOptions):
        @model_validator(mode="after")
        def _crash(self) -> Any:
            raise KeyError("sk-canary-3141592653589793")


class Limit:
    class Options(PolicyOptions):
        rate: Annotated[int, Field(gt=0)]
        per: Duration = 60.0


class Sticky:
    class Options(StrategyOptions):
        slots: int = 64


class Plain:
    """No Options: a type and nothing else."""


@pytest.fixture(autouse=True)
def extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[catalog.Catalog, dict[str, type]] = {
        catalog.providers: {
            "openai": OpenAI,
            "echo": Echo,
            "custom": Custom,
            "talkative": Talkative,
            "broken": Broken,
            "crashing": Crashing,
        },
        catalog.policies: {"limit": Limit, "plain": Plain},
        catalog.strategies: {"round_robin": Plain, "sticky": Sticky},
    }
    for kind, classes in known.items():
        monkeypatch.setattr(kind, "_known", classes)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write a configuration, get its path."""

    def written(text: str, name: str = "gateway.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


@pytest.fixture
def environ() -> dict[str, str]:
    return dict(ENVIRONMENT)
