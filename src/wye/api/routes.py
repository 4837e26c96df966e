"""Every route that Wye serves, in one table: what answers, what documents, what the tests walk."""

from __future__ import annotations

from typing import Literal, NamedTuple

from wye.ports.provider import Operation


class HotRoute(NamedTuple):
    """A route on the data path: served by hand, in the dialect it names."""

    paths: tuple[str, ...]
    operation: Operation
    dialect: str
    summary: str


class Page(NamedTuple):
    """Any other route. `handler` is the name of a method of `pages.Pages`."""

    method: Literal["GET", "POST", "DELETE"]
    paths: tuple[str, ...]
    handler: str
    summary: str
    open: bool = False
    """Whether it answers without a key."""
    media: str = "application/json"


HOT_ROUTES = (
    HotRoute(
        ("/v1/chat/completions", "/chat/completions"),
        "chat",
        "openai_chat",
        "Answer a conversation, in OpenAI's Chat Completions format; streamed when `stream` is true.",
    ),
    HotRoute(
        ("/v1/messages",),
        "chat",
        "anthropic_messages",
        "Answer a conversation, in Anthropic's Messages format; streamed when `stream` is true.",
    ),
    HotRoute(
        ("/v1/messages/count_tokens",),
        "count_tokens",
        "anthropic_messages",
        "Count the tokens of a conversation, in Anthropic's format.",
    ),
)

PAGES = (
    Page("GET", ("/v1/models", "/models"), "list_models", "List routes and local models."),
    Page("POST", ("/v1/models/{model:path}/load", "/models/{model:path}/load"), "load_model", "Load a local model."),
    Page(
        "POST",
        ("/v1/models/{model:path}/unload", "/models/{model:path}/unload"),
        "unload_model",
        "Unload a local model and free its memory.",
    ),
    Page("GET", ("/v1/models/{model:path}", "/models/{model:path}"), "show_model", "Show one model."),
    Page("GET", ("/health",), "health", "Whether the process is well.", open=True),
    Page("GET", ("/health/ready",), "ready", "Whether it can answer: 200, or 503 with the reason.", open=True),
    Page("GET", ("/metrics",), "metrics", "Figures in Prometheus format.", media="text/plain"),
    Page("GET", ("/openapi.json",), "openapi", "This API as an OpenAPI document.", open=True),
    Page("GET", ("/docs",), "docs", "This API as a page to read.", open=True, media="text/html"),
)
