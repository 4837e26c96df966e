"""Every route beside the data path, asked over HTTP. The local engine is a double: no model is loaded here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from tests import wire
from wye import __version__, wiring
from wye.api.routes import HOT_ROUTES, PAGES
from wye.kernel.errors import NotFound, OutOfMemory, Overloaded
from wye.ports.engine import Address, LocalModel
from wye.testing.fake import FakeUpstream, json_body
from wye.testing.server import WyeServer

ANTHROPIC = {"anthropic-version": "2023-06-01"}
LISTS = ("/v1/models", "/models")


class EngineDouble:
    """An engine whose models load at once, but for one that is too big and one that does not start."""

    def __init__(self) -> None:
        self._models = {
            name: LocalModel(name, "available", 1_790_000_000, 2048, 300, ["chat"])
            for name in ("small", "family/tagged:1b", "huge", "broken")
        }
        self.loads: list[str] = []

    def models(self) -> list[LocalModel]:
        return list(self._models.values())

    def put(self, name: str, **changes: Any) -> LocalModel:
        if name not in self._models:
            raise NotFound(f"No local model is called '{name}'", param="model", code="model_not_found")
        self._models[name] = msgspec.structs.replace(self._models[name], **changes)
        return self._models[name]

    async def start(self) -> None:
        pass

    async def load(self, model: str) -> LocalModel:
        if model == "huge":
            raise OutOfMemory("huge needs 90000 MB; unload another model or raise local.memory_limit_gb")
        if model == "broken":
            raise Overloaded("broken did not start", retry_after_s=2.5)
        self.loads.append(model)
        return self.put(model, status="loaded")

    async def unload(self, model: str) -> LocalModel:
        return self.put(model, status="available")

    async def address(self, model: str) -> Address:
        raise NotFound(f"{model} answers nothing in this test")

    async def close(self) -> None:
        pass


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> EngineDouble:
    double = EngineDouble()
    monkeypatch.setattr(wiring, "make_engine", lambda config, transport: double)
    monkeypatch.setattr(wiring, "ENCODERS", {})
    return double


@pytest.fixture
def server(engine: EngineDouble) -> Iterator[WyeServer]:
    routes = {"fast": {"deployments": [{"provider": "groq", "model": "llama-3.3"}]}}
    with WyeServer({"routes": routes}) as server:
        yield server


def ask(server: WyeServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], Any]:
    status, got, body = wire.call(server.url, path, method=method, headers=headers)
    return status, got, json.loads(body) if got.get("content-type") == "application/json" and body else body


@pytest.mark.parametrize("path", LISTS)
def test_models_are_listed_with_routes_first(path: str, server: WyeServer) -> None:
    status, headers, body = ask(server, path)
    assert status == 200
    assert body["object"] == "list"
    assert [m["id"] for m in body["data"]] == ["fast", "small", "family/tagged:1b", "huge", "broken"]
    route, local = body["data"][:2]
    assert route["owned_by"] == "groq"
    assert local == {
        "id": "small",
        "object": "model",
        "created": 1_790_000_000,
        "owned_by": "local",
        "status": "available",
        "context_length": 2048,
        "roles": ["chat"],
        "memory_mb": 300,
    }
    assert headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("path", LISTS)
def test_models_are_listed_in_the_shape_of_anthropic_for_its_callers(path: str, server: WyeServer) -> None:
    status, headers, body = ask(server, path, **ANTHROPIC)
    assert status == 200
    assert (body["first_id"], body["last_id"], body["has_more"]) == ("fast", "broken", False)
    created = "2026-09-21T14:13:20Z"
    assert body["data"][1] == {"type": "model", "id": "small", "display_name": "small", "created_at": created}
    assert headers["request-id"] == headers["x-request-id"]


def test_an_empty_list_has_no_first_and_no_last() -> None:
    with WyeServer() as server:
        assert ask(server, "/v1/models")[2] == {"object": "list", "data": []}
        empty = {"data": [], "has_more": False, "first_id": None, "last_id": None}
        assert ask(server, "/v1/models", **ANTHROPIC)[2] == empty


@pytest.mark.parametrize("base", LISTS)
@pytest.mark.parametrize(
    ("path", "name", "owner"),
    [
        ("fast", "fast", "groq"),
        ("small", "small", "local"),
        ("family/tagged:1b", "family/tagged:1b", "local"),
        ("family%2Ftagged%3A1b", "family/tagged:1b", "local"),
        ("groq/some%20name", "groq/some name", "groq"),
        ("claude-of-tomorrow", "claude-of-tomorrow", "anthropic"),
    ],
)
def test_one_model_is_shown(base: str, path: str, name: str, owner: str, server: WyeServer) -> None:
    status, _, body = ask(server, f"{base}/{path}")
    assert (status, body["id"], body["owned_by"]) == (200, name, owner)
    assert ask(server, f"{base}/{path}", **ANTHROPIC)[2]["display_name"] == name


@pytest.mark.parametrize("path", ["smal", "%00", "%FF%FE", "..%2F..%2Fetc", "x" * 5000])
def test_an_unknown_model_is_404_in_the_callers_dialect(path: str, server: WyeServer) -> None:
    status, headers, body = ask(server, f"/v1/models/{path}")
    assert status == 404
    assert body["error"]["code"] == "model_not_found"
    assert body["request_id"] == headers["x-request-id"]
    assert len(body["detail"]) < 400
    status, _, body = ask(server, f"/v1/models/{path}", **ANTHROPIC)
    assert (status, body["type"], body["error"]["type"]) == (404, "error", "not_found_error")


def test_a_near_name_is_suggested(server: WyeServer) -> None:
    assert "Did you mean 'small'?" in ask(server, "/v1/models/smal")[2]["detail"]


@pytest.mark.parametrize("base", LISTS)
def test_load_and_unload_may_be_repeated(base: str, server: WyeServer, engine: EngineDouble) -> None:
    for verb, wanted in (("load", "loaded"), ("load", "loaded"), ("unload", "available"), ("unload", "available")):
        for path, name in (("small", "small"), ("family%2Ftagged:1b", "family/tagged:1b")):
            status, _, body = ask(server, f"{base}/{path}/{verb}", "POST")
            assert (status, body["id"], body["status"]) == (200, name, wanted)
    assert engine.loads == ["small", "family/tagged:1b"] * 2


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_an_unknown_model_cannot_be_loaded_or_unloaded(verb: str, server: WyeServer) -> None:
    status, _, body = ask(server, f"/v1/models/nobody/{verb}", "POST")
    assert (status, body["error"]["code"]) == (404, "model_not_found")


def test_a_model_that_does_not_fit_is_507_with_a_hint(server: WyeServer) -> None:
    status, _, body = ask(server, "/v1/models/huge/load", "POST")
    assert status == 507
    assert "local.memory_limit_gb" in body["detail"]


def test_a_model_that_does_not_start_is_503_and_says_when_to_come_back(server: WyeServer) -> None:
    status, headers, body = ask(server, "/v1/models/broken/load", "POST")
    assert (status, headers["retry-after"]) == (503, "3")
    assert body["detail"] == "broken did not start"


def test_without_local_models_there_is_nothing_to_load() -> None:
    with WyeServer() as server:
        status, _, body = ask(server, "/v1/models/small/load", "POST")
        assert status == 404
        assert "local.enabled" in body["detail"]


def test_health_names_what_is_not_at_rest(server: WyeServer, engine: EngineDouble) -> None:
    assert ask(server, "/health")[2] == {"status": "ok", "version": __version__, "checks": {}}
    engine.put("small", status="loaded")
    engine.put("broken", status="failed", error="it crashed")
    assert ask(server, "/health")[2]["checks"] == {"local/small": "loaded", "local/broken": "it crashed"}
    assert ask(server, "/v1/models/broken")[2]["error"] == "it crashed"


def test_ready_waits_for_what_is_loading(server: WyeServer, engine: EngineDouble) -> None:
    engine.put("small", status="loading")
    status, headers, body = ask(server, "/health/ready")
    assert (status, headers["retry-after"]) == (503, "1")
    assert body == {"status": "not_ready", "reason": "loading small"}
    engine.put("small", status="loaded")
    status, _, body = ask(server, "/health/ready")
    assert (status, body) == (200, {"status": "ready"})


def test_metrics_are_what_prometheus_reads() -> None:
    with FakeUpstream(lambda _: json_body(wire.OPENAI_BODY)) as upstream:
        provider = {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k"}
        route = {"deployments": [{"provider": "up", "model": 'odd "name"\n\\'}]}
        config = {"local": {"enabled": False}, "providers": {"up": provider}, "routes": {"m": route}}
        with WyeServer(config) as server:
            for model in ("m", "m", "unknown"):
                wire.call(server.url, "/v1/chat/completions", wire.ask(model=model))
            status, headers, body = ask(server, "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    families = list(text_string_to_metric_families(body.decode()))
    found = {sample.name: sample for family in families for sample in family.samples}
    assert found["wye_requests_total"].value == 2
    assert found["wye_requests_total"].labels == {"deployment": 'up/odd "name"\n\\'}
    assert found["wye_input_tokens_total"].value == 2 * wire.OPENAI_USAGE["prompt_tokens"]
    assert found["wye_output_tokens_total"].value == 2 * wire.OPENAI_USAGE["completion_tokens"]
    assert found["wye_cached_tokens_total"].value == 8
    assert found["wye_request_failures_total"].value == 0
    assert found["wye_request_seconds_total"].value > 0
    assert found["wye_running"].value == 0
    assert found["wye_refused_total"].value == 1
    assert all(family.documentation for family in families)


@pytest.mark.parametrize("key", [None, "k"])
def test_the_openapi_document_is_valid_and_whole(key: str | None) -> None:
    with WyeServer({"local": {"enabled": False}, "server": {"api_key": key}}) as server:
        document = ask(server, "/openapi.json")[2]
    validate(document)
    served = {(path.replace(":path", ""), "post") for route in HOT_ROUTES for path in route.paths}
    served |= {(path.replace(":path", ""), page.method.lower()) for page in PAGES for path in page.paths}
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert described == served
    guarded = [path for path, methods in document["paths"].items() for told in methods.values() if "security" in told]
    assert ("/v1/messages" in guarded) is (key is not None)
    assert "/health" not in guarded
    metrics = document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert list(metrics) == ["text/plain"]


def test_the_docs_page_lists_every_route_and_fetches_nothing_from_elsewhere(server: WyeServer) -> None:
    status, headers, body = ask(server, "/docs")
    text = body.decode()
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["content-security-policy"]
    for route in (*HOT_ROUTES, *PAGES):
        for path in route.paths:
            assert path.replace(":path", "") in text
    assert not re.search(r"(src|href)=\"(?!https://(platform\.openai|docs\.anthropic)\.com|openapi\.json|#)", text)
    assert __version__ in text
    assert f"curl {server.url}/v1/chat/completions" in text
    assert "&quot;model&quot;:&quot;fast&quot;" in text


def test_the_docs_page_believes_no_header_and_tells_no_names_to_those_without_a_key() -> None:
    routes = {"<secret>": {"deployments": [{"provider": "groq", "model": "m"}]}}
    with WyeServer({"local": {"enabled": False}, "server": {"api_key": "k"}, "routes": routes}) as server:
        text = ask(server, "/docs", host="evil.example/<script>alert(1)</script>")[2].decode()
        assert "<script" not in text
        assert "secret" not in text
        assert "authorization: Bearer" in text
        assert "<i>open</i>" in text


@pytest.mark.parametrize("path", [page.paths[0] for page in PAGES if page.method == "GET" and "{" not in page.paths[0]])
def test_head_says_what_get_would_without_a_body(path: str, server: WyeServer) -> None:
    status, headers, body = ask(server, path, "HEAD")
    assert (status, body) == (200, b"")
    assert headers["content-type"] == ask(server, path)[1]["content-type"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("HEAD", "/v1/messages", "POST"),
        ("DELETE", "/v1/messages/count_tokens", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("PATCH", "/v1/models/small", "GET, HEAD"),
        ("OPTIONS", "/metrics", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_offered_is_405_with_those_that_are(
    method: str, path: str, allowed: str, server: WyeServer
) -> None:
    status, headers, body = ask(server, path, method)
    assert (status, headers["allow"]) == (405, allowed)
    if method != "HEAD":
        assert body["error"]["code"] == "method_not_allowed"
        assert body["request_id"] == headers["x-request-id"]


@pytest.mark.parametrize("path", ["/", "/v2/models", "/v1/chat", "//", "/v1/complete", "/%2e%2e/", "/health/x"])
def test_an_unknown_path_is_404_and_says_where_to_look(path: str, server: WyeServer) -> None:
    status, _, body = ask(server, path)
    assert (status, body["error"]["code"]) == (404, "unknown_route")
    assert "/docs" in body["detail"]


@pytest.mark.parametrize("path", [page.paths[0] for page in PAGES if page.method == "GET" and "{" not in page.paths[0]])
def test_a_trailing_slash_is_forgiven(path: str, server: WyeServer) -> None:
    assert ask(server, f"{path}/")[0] == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions/", "/v1/messages/"])
def test_a_trailing_slash_is_forgiven_on_the_data_path(path: str, server: WyeServer) -> None:
    status, _, body = wire.call(server.url, path, wire.ask(model="nobody"))
    assert status == 404
    assert "nobody" in body.decode()


def test_a_request_id_of_the_callers_is_kept_if_it_is_usable(server: WyeServer) -> None:
    assert ask(server, "/health", **{"x-request-id": "my-1"})[1]["x-request-id"] == "my-1"
    assert ask(server, "/nowhere", **{"x-request-id": "my-2"})[2]["request_id"] == "my-2"
    for unusable in ("a b", "x" * 129, "é"):
        assert ask(server, "/health", **{"x-request-id": unusable})[1]["x-request-id"].startswith("req_")


def test_a_missing_key_says_how_to_send_one() -> None:
    with WyeServer({"local": {"enabled": False}, "server": {"api_key": "k"}}) as server:
        for path in ("/v1/models", "/metrics"):
            status, headers, _ = ask(server, path)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
        status, headers, _ = wire.call(server.url, "/v1/messages", wire.ask())
        assert (status, headers["www-authenticate"]) == (401, "Bearer")


def test_a_mistake_in_a_page_is_500_and_tells_nothing_but_its_id(
    server: WyeServer, engine: EngineDouble, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> list[LocalModel]:
        raise ValueError("inner detail")

    monkeypatch.setattr(engine, "models", fail)
    status, headers, body = ask(server, "/v1/models")
    assert status == 500
    assert "inner detail" not in json.dumps(body)
    assert headers["x-request-id"] in body["detail"]
    assert "inner detail" in caplog.text
