"""Every route that Wye serves, in one table: what answers, what documents, what the tests walk."""

from __future__ import annotations

from typing import Literal, NamedTuple

from wye.ports.provider import Operation


class HotRoute(NamedTuple):
    """A route on the data path: served by hand, in the dialect it names."""

    paths: tuple[str, ...]
    """With `{model}` where the path names the model."""
    operation: Operation
    dialect: str
    """Of the request (with `embed` one of those that ask for vectors), and of the errors where the body must be looked
    at to know."""
    summary: str
    detects: bool = False
    """Whether the body may be in another dialect, found by its form, and `target_format` may ask for another answer."""
    stream: bool = False
    """Whether the path asks for a stream."""


class Page(NamedTuple):
    """Any other route. `handler` is the name of a method of `pages.Pages`, or of one of its rooms: `files.create`."""

    method: Literal["GET", "POST", "DELETE"]
    paths: tuple[str, ...]
    handler: str
    summary: str
    open: bool = False
    """Whether it answers without a key."""
    media: str = "application/json"
    signed: bool = False
    """Whether callers may sign as AWS's clients do."""
    takes: str | None = None
    """The media type of its body, where it has one."""
    required: tuple[str, ...] = ()
    """The members that its body must have."""
    admin: bool = False
    """Whether it concerns the server and not the caller alone: issued keys are for that only where they say so."""


HOT_ROUTES = (
    HotRoute(
        ("/v1/chat/completions", "/chat/completions"),
        "chat",
        "openai_chat",
        "Answer a conversation, in OpenAI's Chat Completions format; streamed when `stream` is true. Bodies of Claude's"
        " and Titan's form are understood too, and `?target_format=` asks for an answer in any other format.",
        detects=True,
    ),
    HotRoute(
        ("/v1/responses", "/responses"),
        "chat",
        "openai_responses",
        "Answer a conversation, in OpenAI's Responses format; streamed when `stream` is true.",
    ),
    HotRoute(
        ("/v1/responses/input_tokens", "/responses/input_tokens"),
        "count_tokens",
        "openai_responses",
        "Count the tokens of a conversation, in OpenAI's Responses format.",
    ),
    HotRoute(
        ("/v1/completions", "/completions"),
        "chat",
        "openai_completions",
        "Continue a text, in the format of OpenAI's older API; streamed when `stream` is true.",
    ),
    HotRoute(
        ("/v1/embeddings", "/embeddings"),
        "embed",
        "openai_embeddings",
        "Turn texts into vectors, in OpenAI's format: as numbers, or as base64 when `encoding_format` asks for it.",
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
    HotRoute(
        ("/model/{model}/converse",),
        "chat",
        "bedrock_converse",
        "Answer a conversation, in Bedrock's Converse format.",
    ),
    HotRoute(
        ("/model/{model}/converse-stream",),
        "chat",
        "bedrock_converse",
        "The same as an AWS event stream.",
        stream=True,
    ),
    HotRoute(
        ("/model/{model}/invoke",),
        "chat",
        "bedrock_claude",
        "Answer in the own format of a family of Bedrock's models, found by the body's form and the model's name.",
        detects=True,
    ),
    HotRoute(
        ("/model/{model}/invoke-with-response-stream",),
        "chat",
        "bedrock_claude",
        "The same as an AWS event stream.",
        detects=True,
        stream=True,
    ),
    HotRoute(
        ("/model/{model}/count-tokens",),
        "count_tokens",
        "bedrock_converse",
        "Count the tokens of a conversation, in Bedrock's format.",
    ),
)

PAGES = (
    Page("GET", ("/v1/models", "/models"), "list_models", "List routes and local models."),
    Page(
        "POST",
        ("/v1/models/{model:path}/load", "/models/{model:path}/load"),
        "load_model",
        "Load a local model.",
        admin=True,
    ),
    Page(
        "POST",
        ("/v1/models/{model:path}/unload", "/models/{model:path}/unload"),
        "unload_model",
        "Unload a local model and free its memory.",
        admin=True,
    ),
    Page("GET", ("/v1/models/{model:path}", "/models/{model:path}"), "show_model", "Show one model."),
    Page("GET", ("/v1/providers", "/providers"), "list_providers", "List the upstream accounts and how they are."),
    Page("GET", ("/stats",), "stats", "Figures for people and dashboards, for each route and deployment.", admin=True),
    Page("DELETE", ("/cache",), "clear_cache", "Forget every kept answer.", admin=True),
    Page("GET", ("/v1/responses/{id}", "/responses/{id}"), "show_response", "Show an answer that was kept."),
    Page("DELETE", ("/v1/responses/{id}", "/responses/{id}"), "delete_response", "Forget an answer that was kept."),
    Page(
        "GET",
        ("/v1/responses/{id}/input_items", "/responses/{id}/input_items"),
        "list_input_items",
        "List what the model was asked with; `limit`, `order` and `after` as OpenAI has them.",
    ),
    Page(
        "POST",
        ("/v1/responses/{id}/cancel", "/responses/{id}/cancel"),
        "cancel_response",
        "Stop an answer that is made in the background; any other is refused.",
    ),
    Page(
        "GET",
        ("/inference-profiles",),
        "list_inference_profiles",
        "Bedrock's list of inference profiles: every model under its own name.",
        signed=True,
    ),
    Page(
        "POST",
        ("/v1/files", "/files"),
        "files.create",
        "Keep a file, sent as a form; in OpenAI's format, or in Anthropic's for its clients.",
        takes="multipart/form-data",
        required=("file",),
    ),
    Page(
        "GET",
        ("/v1/files", "/files"),
        "files.list",
        "List files; `limit`, `order`, `after` and `purpose` as OpenAI has them.",
    ),
    Page("GET", ("/v1/files/{file_id}", "/files/{file_id}"), "files.show", "Show what is known of a file."),
    Page(
        "GET",
        ("/v1/files/{file_id}/content", "/files/{file_id}/content"),
        "files.content",
        "The content of a file, as it came.",
        media="*/*",
    ),
    Page(
        "DELETE",
        ("/v1/files/{file_id}", "/files/{file_id}"),
        "files.delete",
        "Delete a file, and the documents made of it.",
    ),
    Page(
        "POST",
        ("/v1/vector_stores", "/vector_stores"),
        "vector_stores.create",
        "Make a vector store: files that are searched together.",
    ),
    Page(
        "GET",
        ("/v1/vector_stores", "/vector_stores"),
        "vector_stores.list",
        "List vector stores; `limit`, `order`, `after` and `before`.",
    ),
    Page(
        "GET",
        ("/v1/vector_stores/{vector_store_id}", "/vector_stores/{vector_store_id}"),
        "vector_stores.show",
        "Show a vector store, and how far its files are read.",
    ),
    Page(
        "POST",
        ("/v1/vector_stores/{vector_store_id}", "/vector_stores/{vector_store_id}"),
        "vector_stores.update",
        "Change a vector store's `name`, `metadata` and `expires_after`.",
    ),
    Page(
        "DELETE",
        ("/v1/vector_stores/{vector_store_id}", "/vector_stores/{vector_store_id}"),
        "vector_stores.delete",
        "Delete a vector store; its files stay.",
    ),
    Page(
        "POST",
        ("/v1/vector_stores/{vector_store_id}/search", "/vector_stores/{vector_store_id}/search"),
        "vector_stores.search",
        "Find the passages of a vector store that fit a `query`.",
        takes="application/json",
        required=("query",),
    ),
    Page(
        "POST",
        ("/v1/vector_stores/{vector_store_id}/files", "/vector_stores/{vector_store_id}/files"),
        "vector_store_files.create",
        "Have a file in a vector store, read and found.",
        takes="application/json",
        required=("file_id",),
    ),
    Page(
        "GET",
        ("/v1/vector_stores/{vector_store_id}/files", "/vector_stores/{vector_store_id}/files"),
        "vector_store_files.list",
        "List the files of a vector store; `filter` is a status.",
    ),
    Page(
        "GET",
        ("/v1/vector_stores/{vector_store_id}/files/{file_id}", "/vector_stores/{vector_store_id}/files/{file_id}"),
        "vector_store_files.show",
        "Show a file of a vector store.",
    ),
    Page(
        "POST",
        ("/v1/vector_stores/{vector_store_id}/files/{file_id}", "/vector_stores/{vector_store_id}/files/{file_id}"),
        "vector_store_files.update",
        "Change the `attributes` of a file, which searches may ask for.",
        takes="application/json",
        required=("attributes",),
    ),
    Page(
        "DELETE",
        ("/v1/vector_stores/{vector_store_id}/files/{file_id}", "/vector_stores/{vector_store_id}/files/{file_id}"),
        "vector_store_files.delete",
        "Take a file out of a vector store; it is kept.",
    ),
    Page(
        "GET",
        (
            "/v1/vector_stores/{vector_store_id}/files/{file_id}/content",
            "/vector_stores/{vector_store_id}/files/{file_id}/content",
        ),
        "vector_store_files.content",
        "What was read in a file.",
    ),
    Page(
        "POST",
        ("/v1/vector_stores/{vector_store_id}/file_batches", "/vector_stores/{vector_store_id}/file_batches"),
        "vector_store_files.create_batch",
        "Have several files in a vector store: `file_ids`, or `files` with attributes of their own.",
        takes="application/json",
    ),
    Page(
        "GET",
        (
            "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}",
            "/vector_stores/{vector_store_id}/file_batches/{batch_id}",
        ),
        "vector_store_files.show_batch",
        "Show how far the files of a batch are read.",
    ),
    Page(
        "POST",
        (
            "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel",
            "/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel",
        ),
        "vector_store_files.cancel_batch",
        "Call back the files of a batch that are not read yet.",
    ),
    Page(
        "GET",
        (
            "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/files",
            "/vector_stores/{vector_store_id}/file_batches/{batch_id}/files",
        ),
        "vector_store_files.list_batch",
        "List the files of a batch; `filter` is a status.",
    ),
    Page(
        "POST",
        ("/api/v1/upload",),
        "documents.upload",
        "Keep a file, sent as a form, and read it, so that it can be asked.",
        takes="multipart/form-data",
        required=("file",),
    ),
    Page("GET", ("/api/v1/documents",), "documents.list", "List documents; `limit`, `order` and `after`."),
    Page("GET", ("/api/v1/documents/{document_id}",), "documents.show", "Show a document, and how far it is read."),
    Page(
        "GET",
        ("/api/v1/documents/{document_id}/events",),
        "documents.events",
        "The same with each change, as server-sent events, until it is ready or has failed.",
        media="text/event-stream",
    ),
    Page(
        "GET",
        ("/api/v1/documents/{document_id}/history",),
        "documents.history",
        "What was asked of a document, and the answers; `limit`, `order` and `after`.",
    ),
    Page("DELETE", ("/api/v1/documents/{document_id}",), "documents.delete", "Delete a document and what it holds."),
    Page(
        "POST",
        ("/api/v1/ask",),
        "ask.ask",
        "Ask documents: the answer's text as server-sent events, then its citations; whole when `stream` is false.",
        media="text/event-stream",
        takes="application/json",
        required=("question",),
    ),
    Page("POST", ("/v1/sessions",), "sessions.create", "Begin a session, a conversation that is kept for a time."),
    Page("GET", ("/v1/sessions",), "sessions.list", "List sessions; `limit`, `order` and `after`."),
    Page("GET", ("/v1/sessions/{session_id}",), "sessions.show", "Show a session with what was said in it."),
    Page(
        "POST",
        ("/v1/sessions/{session_id}/messages",),
        "sessions.say",
        "Add messages to a session, which then lives on.",
        takes="application/json",
        required=("messages",),
    ),
    Page("DELETE", ("/v1/sessions/{session_id}",), "sessions.delete", "Delete a session and what was said in it."),
    Page("GET", ("/v1/tools",), "tools.list", "List the tools that Wye has itself, as OpenAI describes functions."),
    Page(
        "POST",
        ("/v1/tools/execute",),
        "tools.execute",
        "Run one of them.",
        takes="application/json",
        required=("name",),
    ),
    Page("GET", ("/health",), "health", "Whether the process is well.", open=True),
    Page("GET", ("/health/ready",), "ready", "Whether it can answer: 200, or 503 with the reason.", open=True),
    Page("GET", ("/metrics",), "metrics", "Figures in Prometheus format.", media="text/plain", admin=True),
    Page("GET", ("/openapi.json",), "openapi", "This API as an OpenAPI document.", open=True),
    Page("GET", ("/docs",), "docs", "This API as a page to read.", open=True, media="text/html"),
)
