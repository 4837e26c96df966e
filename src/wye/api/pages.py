"""The routes beside the data path: models, health, figures, documentation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from wye import __version__
from wye.api import openapi
from wye.api.edge import Head, as_wye_error, id_headers
from wye.api.metrics import render_metrics
from wye.api.routes import HOT_ROUTES, PAGES, Page
from wye.dialects.dialect import Dialect
from wye.gateway.pipeline import Pipeline
from wye.kernel import clock
from wye.kernel.errors import BadRequest, NotFound, WyeError
from wye.kernel.json import JsonObject, encode
from wye.ports.engine import Engine, LocalModel

Handler = Callable[[Request], Awaitable[Response]]


class Pages:
    def __init__(self, pipeline: Pipeline, engine: Engine | None, plain: Dialect, anthropic: Dialect) -> None:
        """`plain` is the dialect of errors for callers that speak none, `anthropic` for those that say so."""
        self._pipeline = pipeline
        self._engine = engine
        self._plain = plain
        self._anthropic = anthropic
        self._started = clock.unix_s()

    def app(self) -> Starlette:
        routes = [Route(path, self._guarded(page), methods=[page.method]) for page in PAGES for path in page.paths]
        return Starlette(routes=routes, exception_handlers={HTTPException: self._http_error})

    async def list_models(self, request: Request) -> Response:
        models = [self._model(name) for name in self._pipeline.router.names()]
        if _speaks_anthropic(request):
            data = [_as_anthropic(model) for model in models]
            ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
            return _json({"data": data, "has_more": False, **ends})
        return _json({"object": "list", "data": models})

    async def show_model(self, request: Request) -> Response:
        name = request.path_params["model"]
        if name not in self._pipeline.router.names():
            self._pipeline.router.route(name)  # raises NotFound; a name known by its pattern is shown, too
        model = self._model(name)
        return _json(_as_anthropic(model) if _speaks_anthropic(request) else model)

    async def load_model(self, request: Request) -> Response:
        model = await self._local().load(request.path_params["model"])
        return _json(_describe_local(model))

    async def unload_model(self, request: Request) -> Response:
        model = await self._local().unload(request.path_params["model"])
        return _json(_describe_local(model))

    async def health(self, request: Request) -> Response:
        checks = {f"local/{m.id}": m.error or m.status for m in self._local_models() if m.status != "available"}
        return _json({"status": "ok", "version": __version__, "checks": checks})

    async def ready(self, request: Request) -> Response:
        waiting = [model for model in self._local_models() if model.status == "loading"]
        if waiting:
            reason = f"loading {', '.join(model.id for model in waiting)}"
            return _json({"status": "not_ready", "reason": reason}, 503, {"retry-after": "1"})
        return _json({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        body, content_type = render_metrics(self._pipeline)
        return Response(body, media_type=content_type)

    async def openapi(self, request: Request) -> Response:
        return _json(openapi.document(needs_key=not self._pipeline.auth.open))

    async def docs(self, request: Request) -> Response:
        return HTMLResponse(openapi.page(needs_key=not self._pipeline.auth.open))

    def _guarded(self, page: Page) -> Handler:
        handler: Handler = getattr(self, page.handler)

        async def guarded(request: Request) -> Response:
            head = Head(dict(request.headers.raw))
            try:
                if not page.open:
                    self._pipeline.auth.principal(dict(request.headers.raw))
                response = await handler(request)
            except Exception as error:
                response = self._failed(request, as_wye_error(error, head.request_id), head.request_id)
            for name, value in id_headers(head.request_id, self._dialect(request)):
                response.headers[name.decode()] = value.decode()
            return response

        return guarded

    def _failed(self, request: Request, error: WyeError, request_id: str) -> Response:
        return _json(self._dialect(request).encode_error(error, request_id), error.status)

    def _dialect(self, request: Request) -> Dialect:
        return self._anthropic if _speaks_anthropic(request) else self._plain

    async def _http_error(self, request: Request, raised: Exception) -> Response:
        """Starlette found no route for this path and method."""
        head = Head(dict(request.headers.raw))
        status = raised.status_code if isinstance(raised, HTTPException) else 500
        path, method = request.url.path, request.method
        if any(path in hot.paths for hot in HOT_ROUTES):
            status = 405
        if status == 405:
            error: WyeError = BadRequest(f"{method} is not offered on {path}", status=405, code="method_not_allowed")
        else:
            error = NotFound(f"There is no route {method} {path[:200]}. GET /docs lists them.", code="unknown_route")
        response = self._failed(request, error, head.request_id)
        for name, value in id_headers(head.request_id, self._dialect(request)):
            response.headers[name.decode()] = value.decode()
        return response

    def _local(self) -> Engine:
        if self._engine is None:
            raise NotFound("Local models are switched off (local.enabled)")
        return self._engine

    def _local_models(self) -> list[LocalModel]:
        return self._engine.models() if self._engine is not None else []

    def _model(self, name: str) -> JsonObject:
        for model in self._local_models():
            if model.id == name:
                return _describe_local(model)
        owner = self._pipeline.router.route(name).deployments[0].provider.name
        return {"id": name, "object": "model", "created": self._started, "owned_by": owner, "status": "available"}


def _describe_local(model: LocalModel) -> JsonObject:
    described: JsonObject = {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "local",
        "status": model.status,
        "context_length": model.context_length,
        "roles": model.roles,
        "memory_mb": model.memory_mb,
    }
    return {**described, "error": model.error} if model.error else described


def _as_anthropic(model: JsonObject) -> JsonObject:
    """https://docs.anthropic.com/en/api/models-list"""
    created = datetime.fromtimestamp(model["created"], UTC).isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": model["id"], "display_name": model["id"], "created_at": created}


def _speaks_anthropic(request: Request) -> bool:
    return "anthropic-version" in request.headers


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(encode(value), status, headers, media_type="application/json")
