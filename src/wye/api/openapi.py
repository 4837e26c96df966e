"""The API described: an OpenAPI document and a page to read, both made from the table of routes.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from wye import __version__
from wye.api.routes import HOT_ROUTES, PAGES

_JSON, _EVENTS = "application/json", "text/event-stream"
_FORMATS = {
    "openai_chat": "https://platform.openai.com/docs/api-reference/chat",
    "anthropic_messages": "https://docs.anthropic.com/en/api/messages",
}


def document(*, needs_key: bool) -> dict[str, Any]:
    """The OpenAPI document of the running server."""
    paths: dict[str, dict[str, Any]] = {}
    for hot in HOT_ROUTES:
        for path in hot.paths:
            paths.setdefault(path, {})["post"] = {
                "summary": hot.summary,
                "operationId": _operation_id("post", path),
                "externalDocs": {"url": _FORMATS[hot.dialect]},
                "requestBody": {
                    "required": True,
                    "content": {_JSON: {"schema": {"type": "object", "required": ["model", "messages"]}}},
                },
                "responses": _responses(hot.summary, (_JSON, _EVENTS) if hot.operation == "chat" else (_JSON,)),
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
                "responses": _responses(page.summary, (page.media,)),
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


def _operation_id(method: str, path: str) -> str:
    return f"{method}{re.sub(r'[^a-z0-9]+', '_', path.lower())}".rstrip("_")


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _responses(summary: str, media: tuple[str, ...]) -> dict[str, Any]:
    return {
        "200": {"description": summary, "content": {kind: {"schema": {}} for kind in media}},
        "default": {"description": "An error, in the format of the caller's API."},
    }


def page(*, needs_key: bool) -> str:
    """The same as HTML, whole in itself: nothing is fetched from elsewhere."""
    rows = [("POST", hot.paths, hot.summary, needs_key) for hot in HOT_ROUTES]
    rows += [(p.method, p.paths, p.summary, needs_key and not p.open) for p in PAGES]
    lines = "\n".join(_row(*row) for row in rows)
    return _PAGE.replace("VERSION", __version__).replace("ROWS", lines)


def _row(method: str, paths: tuple[str, ...], summary: str, key: bool) -> str:
    codes = "<br>".join(f"<code>{escape(path.replace(':path', ''))}</code>" for path in paths)
    said = re.sub(r"`(\w+)`", r"<code>\1</code>", escape(summary))
    return f"<tr><td>{method}</td><td>{codes}</td><td>{said}</td><td>{'key' if key else ''}</td></tr>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Wye API</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto; padding: 0 1rem; color: #1d2733 }
  h1 { font-weight: 600 } table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0; border-bottom: 1px solid #e3e8ee }
  code { font: 14px ui-monospace, monospace } th { color: #66788a; font-weight: 500 }
  @media (prefers-color-scheme: dark) { body { background: #10161d; color: #dfe7ef } th, td { border-color: #2a3643 } }
</style></head>
<body><h1>Wye <small>VERSION</small></h1>
<p>Point an OpenAI client at <code>/v1</code> of this server, an Anthropic client at its root.
The same as a machine reads it: <a href="openapi.json">openapi.json</a>.</p>
<table><tr><th>Method</th><th>Path</th><th>What it does</th><th>Needs</th></tr>
ROWS
</table></body></html>
"""
