"""From the name a caller uses to the deployments that may answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from wye.gateway.deployment import Deployment, Route
from wye.gateway.routing import router as module
from wye.gateway.routing.router import Router
from wye.kernel.errors import NotFound
from wye.ports.provider import Provider
from wye.ports.transport import Clocks


class Account:
    def __init__(self, name: str) -> None:
        self.name = name


def make(
    *routes: str,
    local: list[str] | None = None,
    absent: Sequence[str] = (),
    accounts: str = "openai anthropic groq local",
) -> Router:
    providers = {name: cast(Provider, Account(name)) for name in accounts.split()}
    made = [Route(name, [Deployment(providers["groq"], f"{name}-upstream", Clocks())]) for name in routes]
    patterns = [("gpt-*", "openai"), ("claude-*", "anthropic"), ("gpt-oss*", "groq"), ("grok-*", "xai")]
    return Router(made, providers, patterns, lambda: local or [], Clocks(), absent_models=lambda: absent)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("groq/llama", "groq/llama"),
        ("groq:llama", "groq/llama"),
        ("groq/meta/llama:7b", "groq/meta/llama:7b"),
        ("groq:meta/llama", "groq/meta/llama"),
        ("local:small", "local/small"),
        ("fast", "groq/fast-upstream"),
        ("small", "local/small"),
        ("qwen:0.5b", "local/qwen:0.5b"),
        ("gpt-4o", "openai/gpt-4o"),
        ("gpt-oss-20b", "openai/gpt-oss-20b"),  # the first pattern that matches
        ("claude-opus", "anthropic/claude-opus"),
    ],
)
def test_a_name_finds_its_deployment(name: str, wanted: str) -> None:
    router = make("fast", local=["small", "qwen:0.5b"])
    route = router.route(name)
    assert route.name == name
    assert [d.id for d in route.deployments] == [wanted]
    assert router.route(name) is route


@pytest.mark.parametrize(
    ("name", "routes", "local", "wanted"),
    [
        ("groq/x", ["groq/x"], ["groq/x"], "groq/x"),
        ("x", ["x"], ["x"], "groq/x-upstream"),
        ("gpt-x", ["gpt-x"], [], "groq/gpt-x-upstream"),
        ("gpt-x", [], ["gpt-x"], "local/gpt-x"),
    ],
    ids=["prefix before route", "route before local", "route before pattern", "local before pattern"],
)
def test_what_comes_first(name: str, routes: list[str], local: list[str], wanted: str) -> None:
    assert make(*routes, local=local).route(name).deployments[0].id == wanted


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("fsat", "Did you mean 'fast'?"),
        ("smal", "Did you mean 'small'?"),
        ("zzz", "GET /v1/models"),
        ("", "GET /v1/models"),
        ("groq/", "GET /v1/models"),
        ("grok-4", "GET /v1/models"),  # its provider is not configured
        ("nobody/model", "GET /v1/models"),
        ("GPT-4o", "GET /v1/models"),
    ],
)
def test_an_unknown_name_is_404_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(NotFound) as raised:
        make("fast", local=["small"]).route(name)
    assert (raised.value.param, raised.value.code) == ("model", "model_not_found")
    assert hint in raised.value.message


def test_a_long_unknown_name_is_not_repeated_whole() -> None:
    with pytest.raises(NotFound) as raised:
        make().route("x" * 100_000)
    assert len(raised.value.message) < 400


@pytest.mark.parametrize("name", ["groq/{}", "gpt-{}", "{}"])
def test_a_name_longer_than_any_is_neither_asked_for_nor_kept(name: str) -> None:
    router = make("fast")
    with pytest.raises(NotFound, match="at most 2048 characters"):
        router.route(name.format("x" * 2049))
    assert [route.name for route in router.routes()] == ["fast"]


def test_names_that_callers_invent_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    router = make("fast")
    first = router.route("gpt-0")
    for i in range(100):
        router.route(f"gpt-{i}")
        with pytest.raises(NotFound):
            router.route(f"unknown-{i}")
    assert len(router._resolved) == 10
    assert len(router.deployments()) == 11
    assert router.route("gpt-0") is not first
    assert router.route("gpt-99") is router.route("gpt-99")


def test_names_are_routes_then_local_models_each_once() -> None:
    assert make("fast", "small", local=["small", "tiny"]).names() == ["fast", "small", "tiny"]


def test_a_model_whose_file_is_not_here_is_not_listed_and_its_provider_says_why() -> None:
    router = make("fast", local=["small"], absent=["phi", "gpt-oss"])
    assert router.names() == ["fast", "small"]
    assert router.route("phi").deployments[0].id == "local/phi"
    assert router.route("gpt-oss").deployments[0].id == "openai/gpt-oss", "who can answer goes before who cannot"


def test_a_local_model_that_comes_later_is_found() -> None:
    local: list[str] = []
    providers: dict[str, Any] = {"local": Account("local")}
    router = Router([], providers, [], lambda: local, Clocks())
    with pytest.raises(NotFound):
        router.route("small")
    local.append("small")
    assert router.route("small").deployments[0].id == "local/small"


def test_deployments_in_use_are_listed_each_once() -> None:
    router = make("fast", "slow")
    router.route("fast")
    router.route("gpt-4o")
    assert sorted(d.id for d in router.deployments()) == ["groq/fast-upstream", "groq/slow-upstream", "openai/gpt-4o"]
