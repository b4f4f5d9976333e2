"""What a good configuration becomes."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
from pydantic import ValidationError, field_validator

from gateway import catalog
from gateway.config import (
    Address,
    Config,
    ConfigError,
    Duration,
    NoAuth,
    PolicyOptions,
    ProviderOptions,
    Section,
    Server,
    StrategyOptions,
    Target,
    load,
    refused,
    render_problems,
)


class Acme:
    """A third party's provider, named as module:Name."""

    class Options(ProviderOptions):
        beds: int = 1
        nap: Duration | None = None


class NotOurs:
    class Options(Section):
        type: str


class Picky:
    """Its check speaks as ours do."""

    class Options(ProviderOptions):
        size: int

        @field_validator("size")
        @classmethod
        def _even(cls, size: int) -> int:
            if size % 2:
                raise refused("must be even, found {found}", "add one")
            return size


FULL = f"""
server: {{listen: "[::1]:0", drain_timeout: 1m30s, max_body: 1MiB}}
providers:
  openai:
    type: openai
    endpoint: https://api.openai.com/v1/
    timeouts: {{connect: 250ms}}
    models: {{gpt-4o: {{}}, mini: {{id: gpt-4o-mini}}}}
  echo: {{type: echo, pace: 5ms}}
  acme: {{type: "{__name__}:Acme", beds: "3", nap: 2h}}
models:
  gpt-4o: {{targets: [{{provider: openai}}, {{provider: acme, model: other}}]}}
  short: {{targets: [{{provider: echo}}], strategy: sticky}}
  long: {{targets: [{{provider: echo}}], strategy: {{type: sticky, slots: 3}}}}
  none: {{targets: [{{provider: echo}}], strategy: null}}
routing: {{default_strategy: {{type: sticky, slots: 5}}}}
policies: [{{type: limit, rate: 5}}, {{type: plain}}, {{type: limit, rate: 6, per: 1s}}]
logging: {{access_log: off, level: debug, log: /var/log/gateway.log}}
"""


@pytest.fixture
def config(write: Any) -> Config:
    return load([write(FULL)], environ={})


def test_what_is_written_is_there(config: Config) -> None:
    assert config.server.addresses == (Address("[::1]:0", "::1", 0),)
    assert (config.server.drain_timeout, config.server.max_body) == (90.0, 1 << 20)
    assert config.providers["openai"].endpoint == "https://api.openai.com/v1"
    assert config.providers["openai"].timeouts.connect == 0.25
    assert config.providers["openai"].auth == NoAuth(type="none")
    assert (config.logging.access_log, config.logging.level) == ("off", "debug")
    assert [type(each).__name__ for each in config.providers.values()] == ["ProviderOptions", "Options", "Options"]
    acme = config.providers["acme"]
    assert isinstance(acme, Acme.Options)
    assert (acme.beds, acme.nap) == (3, 7200.0)


def test_a_target_without_a_model_means_the_routes_name(config: Config) -> None:
    assert config.models["gpt-4o"].targets == (
        Target(provider="openai", model="gpt-4o"),
        Target(provider="acme", model="other"),
    )


def test_what_the_provider_calls_a_model(config: Config) -> None:
    openai = config.providers["openai"]
    assert [openai.model_id(name) for name in ("mini", "gpt-4o", "unlisted")] == ["gpt-4o-mini", "gpt-4o", "unlisted"]


def test_strategies_are_options_however_they_are_written(config: Config) -> None:
    strategies = {name: route.strategy for name, route in config.models.items()}
    assert strategies["gpt-4o"] is strategies["none"] is None
    assert strategies["short"] is not None
    assert strategies["short"].model_dump() == {"type": "sticky", "slots": 64}
    assert strategies["long"] is not None
    assert strategies["long"].model_dump() == {"type": "sticky", "slots": 3}
    assert config.routing.default_strategy.model_dump() == {"type": "sticky", "slots": 5}


def test_policies_keep_their_order(config: Config) -> None:
    dumped = [policy.model_dump() for policy in config.policies]
    assert dumped == [
        {"type": "limit", "rate": 5, "per": 60.0},
        {"type": "plain"},
        {"type": "limit", "rate": 6, "per": 1.0},
    ]


def test_every_default() -> None:
    config = Config()
    assert config.server.model_dump(mode="json") == {
        "listen": ["127.0.0.1:8080"],
        "tls": None,
        "workers": "auto",
        "worker_timeout": "10s",
        "lane": "fast",
        "max_body": "20MiB",
        "max_answer": "64MiB",
        "max_in_flight": 10000,
        "max_buffered": "1GiB",
        "header_timeout": "30s",
        "body_timeout": "1m",
        "keepalive_timeout": "75s",
        "drain_delay": "0s",
        "drain_timeout": "30s",
    }
    assert config.streaming.model_dump(mode="json") == {
        "keepalive_after": "15s",
        "client_write": "1m",
        "event_hold": "64KiB",
        "drop_malformed": True,
    }
    assert config.logging.model_dump() == {"level": "info", "log": "stderr", "access_log": "stderr"}
    assert config.routing.default_strategy == StrategyOptions(type="round_robin")
    provider = ProviderOptions(type="openai")
    assert provider.timeouts.model_dump(mode="json") == {
        "connect": "10s",
        "first_content": "1m",
        "idle": "1m",
        "total": "10m",
    }
    assert provider.connection_pool.model_dump(mode="json") == {
        "max_connections_per_host": 100,
        "keep_alive": "90s",
        "dns_ttl": "30s",
    }
    assert (provider.endpoint, provider.headers, provider.models, provider.header_lines()) == (None, {}, {}, ())


def test_what_is_written_out_as_json_is_read_again(config: Config, write: Any) -> None:
    again = load([write(config.model_dump_json(exclude_unset=True), "again.yaml")], environ={})
    assert again == config


def test_nothing_can_be_changed(config: Config) -> None:
    with pytest.raises(ValidationError):
        config.server.listen = ("0.0.0.0:1",)


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080, "")),
        ("localhost:0", ("localhost", 0, "")),
        ("[::]:80", ("::", 80, "")),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80, "")),
        ("gateway.internal:65535", ("gateway.internal", 65535, "")),
        ("tls:0.0.0.0:8443", ("0.0.0.0", 8443, "", True)),
        ("tls:[::]:443", ("::", 443, "", True)),
        ("unix:/run/gateway.sock", ("", 0, "/run/gateway.sock")),
        ("unix:/" + "x" * 106, ("", 0, "/" + "x" * 106)),
    ],
)
def test_addresses(listen: str, address: Any) -> None:
    assert Server.model_validate({"listen": listen}).addresses == (Address(listen, *address),)
    both = Server.model_validate({"listen": [listen, "other:1"]})
    assert both.addresses == (Address(listen, *address), Address("other:1", "other", 1))


@pytest.mark.parametrize(
    "listen",
    [
        *["", ":80", "host", "host:", "host:x", "::1:80", "[::1]", "[]:80", "a b:80", "h:65536", "h:-1", "u@h:1"],
        *["unix:", "unix:relative", "unix:/", "unix:/a/", "unix:/a\x00b", "unix:/" + "x" * 107, "unix:/" + "é" * 54],
    ],
)
def test_what_is_no_address(listen: str) -> None:
    for written in (listen, [listen], ["host:1", listen]):
        with pytest.raises(ValidationError):
            Server.model_validate({"listen": written})


def test_every_address_is_listed_once() -> None:
    for again in ("h:080", "unix:/a"):
        with pytest.raises(ValidationError, match="are the same address"):
            Server.model_validate({"listen": ["h:80", "unix:/a", again]})
    assert len(Server.model_validate({"listen": ["127.0.0.1:80", "[::1]:80", "unix:/a", "unix:/b"]}).listen) == 4


@pytest.mark.parametrize(
    ("written", "meant"), [("auto", "auto"), (1, 1), (254, 254), ("8", 8), (0, None), (255, None), (True, None)]
)
def test_workers(written: Any, meant: Any) -> None:
    """As text, too: that is what comes out of a reference."""
    if meant is None:
        with pytest.raises(ValidationError):
            Server.model_validate({"workers": written})
    else:
        assert Server.model_validate({"workers": written}).workers == meant


def test_what_is_found_wrong_later_on_has_its_place_in_the_file(config: Config) -> None:
    said = [
        str(config.problem(path, "is odd", "mend it")).partition("gateway.yaml:")[2]
        for path in (("providers", "acme"), ("policies", 1), ("models", "short", "strategy"), ("streaming",))
    ]
    assert said == [
        "10:3: providers.acme: is odd; mend it",
        "17:36: policies[1]: is odd; mend it",
        "13:3: models.short.strategy: is odd; mend it",
        "",
    ]
    assert str(Config().problem(("policies", 1), "is odd")) == "policies[1]: is odd"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('providers: {a: {type: "%s:Nowhere"}}', "a.type: provider type .* cannot be loaded: AttributeError"),
        (
            'providers: {a: {type: "%s:NotOurs"}}',
            "a.type: provider type .* is broken: its Options do not derive from ProviderOptions",
        ),
        ('policies: [{type: "%s:Acme"}]', "is broken: its Options do not derive from PolicyOptions"),
        ('providers: {a: {type: "%s:Picky", size: 3}}', "providers.a.size: must be even, found the number 3; add one"),
        ("providers: {a: {type: published}}", 'provider type "published" cannot be loaded: ModuleNotFoundError'),
        ("policies: [{type: }]", "policies.0..type: must be text, found nothing"),
        ("a: &a [*a]", r"a\[0\]: the alias"),
        ("models: {m: 3}", "models.m: must be a mapping, found the number 3"),
        ("a: ? {b: c}", "not valid YAML|cannot be a key|is expected"),
        ('logging: {log: ""}', "logging.log: must not be empty"),
        ('providers: {a: {type: openai, models: {"": {}}}}', 'models."": must be 1 to 256 visible'),
        ("server: {\u202e: 1}", r'server."\\u202e": unknown key'),
    ],
)
def test_what_goes_wrong_with_third_parties_and_at_the_edges(
    text: str, said: str, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entry_points(group: str, name: str = "published") -> list[EntryPoint]:
        return [EntryPoint("published", "no.such.module:Thing", group)] if name == "published" else []

    monkeypatch.setattr(catalog, "entry_points", entry_points)
    with pytest.raises(ConfigError, match=said) as caught:
        load([write(text.replace("%s", __name__))], environ={})
    assert render_problems(caught.value).endswith("1 problem\n")


def test_problems_are_counted(write: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        load([write("a: 1\nb: 2\n")], environ={})
    assert render_problems(caught.value).endswith(
        "; known here: server, providers, models, routing, policies, streaming, logging\n2 problems\n"
    )
    assert [(each.line, each.column, each.path) for each in caught.value.problems] == [(1, 1, "a"), (2, 1, "b")]


def test_options_of_every_kind_can_be_made_by_hand() -> None:
    assert PolicyOptions(type="x").type == "x"
    made = Config.model_validate(
        {"providers": {"e": ProviderOptions(type="echo")}, "models": {"m": {"targets": [{"provider": "e"}]}}}
    )
    assert made.models["m"].targets[0].model == "m"
    assert str(refused("is odd", "add one")) == "is odd; add one"
