"""The routes beside the data path: models, health, figures, documentation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from wye import __version__
from wye.api import openapi
from wye.api.answers import json_answer, speaks_anthropic
from wye.api.edge import as_wye_error, error_headers, id_headers, request_id_of
from wye.api.figures import Siblings
from wye.api.ingress import asked
from wye.api.metrics import render_metrics
from wye.api.routes import PAGES, Page
from wye.api.stats import health_of, providers_of, stats_of
from wye.dialects.dialect import Dialect
from wye.dialects.openai_responses.conversation import page_of
from wye.gateway.pipeline import Pipeline
from wye.gateway.policy.issued_keys import ADMIN
from wye.gateway.policy.kept_responses import KeptResponse
from wye.kernel import clock
from wye.kernel.errors import BadRequest, NotFound, WyeError
from wye.kernel.json import JsonObject, decode
from wye.knowledge.on_demand import LibraryOnDemand
from wye.ports.encoders import Encoders
from wye.ports.engine import Engine, LocalModel
from wye.ports.transport import Headers

_AT_REST = ("absent", "available")

Handler = Callable[[Request], Awaitable[Response]]


class Pages:
    def __init__(
        self,
        pipeline: Pipeline,
        siblings: Siblings,
        engine: Engine | None,
        encoders: Encoders | None,
        plain: Dialect,
        anthropic: Dialect,
        rooms: Mapping[str, object],
        library: LibraryOnDemand,
    ) -> None:
        """`plain` is the dialect of errors for callers that speak none, `anthropic` for those that say so. `rooms` have
        the handlers whose names begin with theirs: `files.create` is `create` of the room `files`."""
        self._pipeline = pipeline
        self._siblings = siblings
        self._engine = engine
        self._encoders = encoders
        self._plain = plain
        self._anthropic = anthropic
        self._rooms = rooms
        self._library = library
        self._started = clock.unix_s()

    def app(self) -> Starlette:
        routes = [Route(path, self._guarded(page), methods=[page.method]) for page in PAGES for path in page.paths]
        app = Starlette(routes=routes, exception_handlers={HTTPException: self._no_route})
        app.router.redirect_slashes = False  # the application forgives a slash without a second request
        return app

    async def list_models(self, request: Request) -> Response:
        models = [self._model(name) for name in self._pipeline.router.names()]
        if speaks_anthropic(request):
            data = [_as_anthropic(model) for model in models]
            ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
            return json_answer({"data": data, "has_more": False, **ends})
        return json_answer({"object": "list", "data": models})

    async def show_model(self, request: Request) -> Response:
        name = request.path_params["model"]
        if name not in self._pipeline.router.names():
            self._pipeline.router.route(name)  # raises NotFound; a name known by its pattern is shown, too
        model = self._model(name)
        return json_answer(_as_anthropic(model) if speaks_anthropic(request) else model)

    async def load_model(self, request: Request) -> Response:
        name = request.path_params["model"]
        model = await self._local(name).load(name)
        return json_answer(_describe_local(model))

    async def unload_model(self, request: Request) -> Response:
        name = request.path_params["model"]
        model = await self._local(name).unload(name)
        return json_answer(_describe_local(model))

    async def show_response(self, request: Request) -> Response:
        conversations, deployments = self._pipeline.conversations, self._pipeline.router.deployments()
        kept = await conversations.look(await self._kept(request), deployments)
        response = Response(kept.response, media_type="application/json")
        return _with(response, [(b"x-wye-loss", kept.losses.encode())] if kept.losses else [])

    async def delete_response(self, request: Request) -> Response:
        kept = await self._kept(request)
        await self._pipeline.conversations.forget(kept, self._pipeline.router.deployments())
        return json_answer({"id": kept.id, "object": "response", "deleted": True})

    async def list_input_items(self, request: Request) -> Response:
        kept = await self._kept(request)
        query = request.query_params
        limit, order = query.get("limit", "20"), query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise BadRequest("order must be 'asc' or 'desc'", param="order")
        if not (limit.isdecimal() and limit.isascii() and len(limit) <= 3):
            raise BadRequest("limit must be a number from 1 to 100", param="limit")
        return json_answer(page_of(decode(kept.items), after=query.get("after"), limit=int(limit), order=order))

    async def cancel_response(self, request: Request) -> Response:
        conversations, deployments = self._pipeline.conversations, self._pipeline.router.deployments()
        kept = await conversations.cancel(await self._kept(request), deployments)
        return Response(kept.response, media_type="application/json")

    async def list_inference_profiles(self, request: Request) -> Response:
        """https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html"""
        names = self._pipeline.router.names()
        none: list[JsonObject] = []
        profiles: list[JsonObject] = [
            {
                "inferenceProfileName": name,
                "inferenceProfileId": name,
                "inferenceProfileArn": f"arn:aws:bedrock:us-east-1:000000000000:inference-profile/{name}",
                "models": none,
                "status": "ACTIVE",
                "type": "SYSTEM_DEFINED",
            }
            for name in names
        ]
        return json_answer({"inferenceProfileSummaries": profiles})

    async def _kept(self, request: Request) -> KeptResponse:
        wanted = request.path_params["id"]
        kept = await self._pipeline.conversations.store.get(request.state.principal, wanted)
        if kept is None:
            raise NotFound(f"Response with id '{wanted[:100]}' not found.", param="id")
        return kept

    async def clear_cache(self, request: Request) -> Response:
        return json_answer({"deleted_entries": await self._pipeline.cache.clear()})

    async def list_providers(self, request: Request) -> Response:
        names = [provider.name for provider in self._pipeline.router.providers()]
        return json_answer(providers_of(names, await self._siblings.figures()))

    async def stats(self, request: Request) -> Response:
        spending = await self._pipeline.settlement.route_spending()
        return json_answer(stats_of(await self._siblings.figures(), spending))

    async def health(self, request: Request) -> Response:
        checks = {f"local/{m.id}": m.error or m.status for m in self._local_models() if m.status not in _AT_REST}
        checks |= health_of(self._pipeline)
        if self._library.away is not None:
            checks["storage"] = self._library.away
        return json_answer({"status": "ok", "version": __version__, "checks": checks})

    async def ready(self, request: Request) -> Response:
        waiting = [model for model in self._local_models() if model.status == "loading"]
        if waiting:
            reason = f"loading {', '.join(model.id for model in waiting)}"
            return json_answer({"status": "not_ready", "reason": reason}, 503, {"retry-after": "1"})
        return json_answer({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        body, content_type = render_metrics(await self._siblings.figures())
        return Response(body, media_type=content_type)

    async def openapi(self, request: Request) -> Response:
        return json_answer(openapi.document(needs_key=not self._pipeline.auth.open))

    async def docs(self, request: Request) -> Response:
        # With a key, the names of models are for those who have it.
        needs_key = not self._pipeline.auth.open
        names = [] if needs_key else self._pipeline.router.names()
        page = openapi.page(str(request.base_url).rstrip("/"), names[0] if names else "MODEL", needs_key=needs_key)
        return HTMLResponse(page, headers={"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"})

    def _guarded(self, page: Page) -> Handler:
        room, _, name = page.handler.rpartition(".")
        handler: Handler = getattr(self._rooms[room] if room else self, name)

        async def guarded(request: Request) -> Response:
            headers = dict(request.headers.raw)
            request_id = request_id_of(headers)
            try:
                if not page.open:
                    await self._pipeline.auth.meet(headers)
                if page.signed:
                    caller = self._pipeline.auth.aws_caller(headers)
                    path, query = request.scope["raw_path"], request.scope["query_string"]
                    caller.check(request.method.encode(), path, query, headers, b"")
                    request.state.principal = caller.principal
                elif not page.open:
                    request.state.principal = self._pipeline.auth.principal(headers)
                if not page.open:
                    self._pipeline.auth.allow(request.state.principal, ADMIN if page.admin else "resources")
                response = await handler(request)
            except Exception as error:  # the edge: every failure is answered in the caller's dialect
                return self._failed(request, as_wye_error(error, request_id), request_id)
            return _with(response, id_headers(request_id, self._dialect(request)))

        return guarded

    async def _no_route(self, request: Request, _: Exception) -> Response:
        """Starlette found no route for this path and method."""
        path, method = request.url.path[:200], request.method[:20]
        offered = [route for route in request.app.routes if isinstance(route, Route)]
        found = [route.methods or () for route in offered if route.path_regex.match(request.scope["path"])]
        allowed = {method for methods in found for method in methods}
        if asked({**request.scope, "query_string": b""}) is not None:
            allowed.add("POST")
        request_id = request_id_of(dict(request.headers.raw))
        if not allowed:
            error = NotFound(f"There is no route {method} {path}. GET /docs lists them.", code="unknown_route")
            return self._failed(request, error, request_id)
        listed = ", ".join(sorted(allowed))
        error = BadRequest(f"{path} takes {listed}, not {method}", status=405, code="method_not_allowed")
        return _with(self._failed(request, error, request_id), [(b"allow", listed.encode())])

    def _failed(self, request: Request, error: WyeError, request_id: str) -> Response:
        dialect = self._dialect(request)
        response = json_answer(dialect.encode_error(error, request_id), error.status)
        return _with(response, id_headers(request_id, dialect) + error_headers(error))

    def _dialect(self, request: Request) -> Dialect:
        return self._anthropic if speaks_anthropic(request) else self._plain

    def _local(self, model: str) -> Engine | Encoders:
        if self._engine is None:
            raise NotFound("Local models are switched off (local.enabled)")
        if self._encoders is not None and any(known.id == model for known in self._encoders.models()):
            return self._encoders
        return self._engine

    def _local_models(self) -> list[LocalModel]:
        sources = (self._engine, self._encoders)
        return [model for source in sources if source is not None for model in source.models()]

    def _model(self, name: str) -> JsonObject:
        for model in self._local_models():
            if model.id == name:
                return _describe_local(model)
        route = self._pipeline.router.route(name)
        owner = route.deployments[0].provider.name if route.panel is None else "wye"
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
    created = clock.rfc3339(model["created"])
    return {"type": "model", "id": model["id"], "display_name": model["id"], "created_at": created}


def _with(response: Response, headers: Headers) -> Response:
    for name, value in headers:
        response.headers[name.decode()] = value.decode()
    return response
