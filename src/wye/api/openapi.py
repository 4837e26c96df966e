"""The API described: an OpenAPI document and a page to read, both made from the table of routes.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import re
from html import escape
from shlex import quote
from typing import Any

from wye import __version__
from wye.api.routes import HOT_ROUTES, PAGES, HotRoute
from wye.kernel.json import encode_text

_JSON, _EVENTS, _AWS_EVENTS = "application/json", "text/event-stream", "application/vnd.amazon.eventstream"
_FORMATS: dict[str, tuple[str, list[str]]] = {
    "openai_chat": ("https://platform.openai.com/docs/api-reference/chat", ["model", "messages"]),
    "openai_responses": ("https://platform.openai.com/docs/api-reference/responses", ["model", "input"]),
    "openai_completions": ("https://platform.openai.com/docs/api-reference/completions", ["model", "prompt"]),
    "openai_embeddings": ("https://platform.openai.com/docs/api-reference/embeddings", ["model", "input"]),
    "anthropic_messages": ("https://docs.anthropic.com/en/api/messages", ["model", "messages"]),
    "bedrock_converse": ("https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html", []),
    "bedrock_claude": ("https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html", []),
}
"""By dialect: where its format is described, and the members that a request's body must have."""
_ANSWERS: dict[tuple[str, str], list[str]] = {
    ("chat", "openai_responses"): ["id", "object", "created_at", "status", "model", "output"],
    ("chat", "openai_completions"): ["id", "object", "created", "model", "choices"],
    ("chat", "anthropic_messages"): ["id", "type", "role", "model", "content", "stop_reason", "usage"],
    ("chat", "bedrock_converse"): ["output", "stopReason", "usage", "metrics"],
    ("embed", "openai_embeddings"): ["object", "data", "model", "usage"],
    ("count_tokens", "openai_responses"): ["object", "input_tokens"],
    ("count_tokens", "anthropic_messages"): ["input_tokens"],
    ("count_tokens", "bedrock_converse"): ["inputTokens"],
}
"""The members that every whole answer has; a route whose answers may be in any format promises none."""


def document(*, needs_key: bool) -> dict[str, Any]:
    """The OpenAPI document of the running server."""
    paths: dict[str, dict[str, Any]] = {}
    for hot in HOT_ROUTES:
        described_at, required = _FORMATS[hot.dialect]
        schema = {"type": "object", **({"required": required} if required and not hot.detects else {})}
        for path in hot.paths:
            parameters = [_parameter("model")] if "{model}" in path else []
            if hot.detects and not parameters:
                parameters = [{"name": "target_format", "in": "query", "schema": {"type": "string"}}]
            paths.setdefault(path, {})["post"] = {
                "summary": hot.summary,
                "operationId": _operation_id("post", path),
                "externalDocs": {"url": described_at},
                **({"parameters": parameters} if parameters else {}),
                "requestBody": {"required": True, "content": {_JSON: {"schema": schema}}},
                "responses": _responses(hot.summary, _media(hot), _answer_schema(hot), _error_schema(hot)),
                **({"security": _SECURITY} if needs_key else {}),
            }
    for page in PAGES:
        for path in page.paths:
            clean = path.replace(":path", "")
            names = re.findall(r"\{(\w+)\}", clean)
            paths.setdefault(clean, {})[page.method.lower()] = {
                "summary": page.summary,
                "operationId": _operation_id(page.method.lower(), clean),
                **({"parameters": [_parameter(name) for name in names]} if names else {}),
                **({"requestBody": _body(page.takes, page.required)} if page.takes else {}),
                "responses": _responses(page.summary, (page.media,), {}, {"type": "object"}),
                **({"security": _SECURITY} if needs_key and not page.open else {}),
            }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Wye", "version": __version__, "summary": "One endpoint for every language model."},
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            }
        },
    }


_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"api_key": []}]


def _body(media: str, required: tuple[str, ...]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "required": list(required)}
    if media == "multipart/form-data":
        schema["properties"] = {name: {"type": "string", "format": "binary"} for name in required}
    return {"required": True, "content": {media: {"schema": schema}}}


def _media(hot: HotRoute) -> tuple[str, ...]:
    if hot.operation != "chat":
        return (_JSON,)
    if "{model}" in hot.paths[0]:
        return (_AWS_EVENTS,) if hot.stream else (_JSON,)
    return (_JSON, _EVENTS)


def _operation_id(method: str, path: str) -> str:
    return f"{method}{re.sub(r'[^a-z0-9]+', '_', path.lower())}".rstrip("_")


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _answer_schema(hot: HotRoute) -> dict[str, Any]:
    required = [] if hot.detects else _ANSWERS[hot.operation, hot.dialect]
    return {"type": "object", **({"required": required} if required else {})}


def _error_schema(hot: HotRoute) -> dict[str, Any]:
    """AWS's errors are their message; all others' have it in a member."""
    if "{model}" in hot.paths[0]:
        return {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}
    text = {"type": "string"}
    error = {"type": "object", "required": ["type", "message"], "properties": {"type": text, "message": text}}
    return {"type": "object", "required": ["error"], "properties": {"error": error}}


def _responses(summary: str, media: tuple[str, ...], answer: dict[str, Any], error: dict[str, Any]) -> dict[str, Any]:
    return {
        "200": {
            "description": summary,
            "content": {kind: {"schema": answer if kind == _JSON else {}} for kind in media},
        },
        "default": {
            "description": "An error, in the format of the caller's API.",
            "content": {_JSON: {"schema": error}},
        },
    }


def page(base_url: str, model: str, *, needs_key: bool) -> str:
    """The same as HTML, with a call to copy. Whole in itself: nothing is fetched from elsewhere."""
    rows = [("POST", hot.paths, hot.summary, False) for hot in HOT_ROUTES]
    rows += [(p.method, p.paths, p.summary, p.open) for p in PAGES]
    key = " \\\n    -H 'authorization: Bearer YOUR_KEY'" if needs_key else ""
    body = quote(encode_text({"model": model, "messages": [{"role": "user", "content": "Hello!"}]}))
    call = f"curl {base_url}/v1/chat/completions{key} \\\n    -H 'content-type: application/json' \\\n    -d {body}"
    parts = {
        "VERSION": __version__,
        "BASE": base_url,
        "KEY": "Routes marked <i>open</i> need no key; all others do." if needs_key else "No key is needed.",
        "CALL": call,
    }
    told = {name: value if name == "KEY" else escape(value) for name, value in parts.items()}
    told["ROWS"] = "\n".join(_row(*row[:3], open_=needs_key and row[3]) for row in rows)
    return re.sub(r"\$([A-Z]+)", lambda found: told[found[1]], _PAGE)


def _row(method: str, paths: tuple[str, ...], summary: str, *, open_: bool) -> str:
    first, *others = (f"<code>{escape(path.replace(':path', ''))}</code>" for path in paths)
    also = f"<br><small>also {', '.join(others)}</small>" if others else ""
    said = re.sub(r"`(\w+)`", r"<code>\1</code>", escape(summary)) + (" <i>open</i>" if open_ else "")
    return f'<tr><td class="{method.lower()}">{method}</td><td>{first}{also}</td><td>{said}</td></tr>'


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Wye API</title>
<style>
  :root { color-scheme: light dark; --line: #e3e8ee; --soft: #66788a; --box: #f5f7fa; --get: #0b6e4f; --post: #1d4ed8 }
  @media (prefers-color-scheme: dark) {
    :root { --line: #2a3643; --soft: #8fa1b3; --box: #18212b; --get: #5fd0a5; --post: #8ab4ff }
    body { background: #10161d; color: #dfe7ef } a { color: #8ab4ff }
  }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto; padding: 0 1rem }
  h1 { font-weight: 600 } small { color: var(--soft); font-size: .85em; white-space: nowrap; font-weight: 400 }
  code, pre { font: 14px/1.6 ui-monospace, monospace } pre { background: var(--box); padding: 1rem; overflow-x: auto }
  table { border-collapse: collapse; width: 100% } .get { color: var(--get) } .post { color: var(--post) }
  td { vertical-align: top; padding: .5rem 1rem .5rem 0; border-top: 1px solid var(--line) }
  dt { color: var(--soft); float: left; width: 6rem } i { color: var(--get); font-size: .85em }
</style></head>
<body><h1>Wye <small>$VERSION</small></h1>
<dl><dt>OpenAI</dt><dd><code>base_url=$BASE/v1</code></dd>
<dt>Anthropic</dt><dd><code>base_url=$BASE</code></dd></dl>
<pre>$CALL</pre>
<p>$KEY For machines: <a href="openapi.json">openapi.json</a>.</p>
<table>
$ROWS
</table></body></html>
"""
