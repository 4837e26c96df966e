"""From a path to what is asked: which operation, in which dialect, of which model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes

import msgspec

from wye.api.asgi import Scope
from wye.api.routes import HOT_ROUTES, HotRoute
from wye.dialects.bedrock_converse import invoke_body
from wye.dialects.bedrock_embeddings import family_of_model as embeddings_of_model
from wye.dialects.bedrock_invoke.families import family_of
from wye.dialects.detect import detect, named
from wye.dialects.dialect import Dialect, EmbeddingDialect
from wye.dialects.registry import DIALECTS, EMBEDDINGS
from wye.gateway.exchange import Exchange
from wye.kernel.json import decode, decode_body
from wye.ports.provider import Operation

_MODEL_PREFIX = b"/model/"


class Asked(msgspec.Struct, frozen=True):
    """A request as far as its path tells."""

    operation: Operation
    dialect: Dialect
    """Of the request, unless it is one for embeddings; of its errors in any case."""
    model: str = ""
    """"" where the body names it."""
    stream: bool | None = None
    """None where the body says it."""
    detect: Callable[[Mapping[str, Any]], Dialect] | None = None
    """Finds the request's dialect by the body's members, where that may be another one."""
    answer_dialect: Dialect | None = None
    signed: bool = False
    """Whether the caller may have signed the request as AWS's clients do."""
    embeddings: EmbeddingDialect | None = None
    """The dialect of a request for embeddings."""


def _for_embeddings(dialect: EmbeddingDialect, model: str = "", *, signed: bool = False) -> Asked:
    return Asked("embed", DIALECTS[dialect.kin], model, False, signed=signed, embeddings=dialect)


_BY_PATH = {
    path: _for_embeddings(EMBEDDINGS[route.dialect])
    if route.operation == "embed"
    else Asked(
        route.operation,
        DIALECTS[route.dialect],
        detect=detect if route.detects else None,
        answer_dialect=DIALECTS[route.dialect] if route.detects else None,
    )
    for route in HOT_ROUTES
    for path in route.paths
    if "{model}" not in path
}
_BY_VERB: dict[bytes, HotRoute] = {
    path.rpartition("/")[2].encode(): route for route in HOT_ROUTES for path in route.paths if "{model}" in path
}


asked_plainly: Callable[[bytes], Asked | None] = {path.encode(): asked for path, asked in _BY_PATH.items()}.get
"""The same as `asked` for a target that is a path of the table without anything more; None for all others."""


def asked(scope: Scope) -> Asked | None:
    """What a POST asks for; None when its path is not on the data path.

    Raises BadRequest for a `target_format` that is none.
    """
    found = _BY_PATH.get(scope["path"])
    if found is None:
        raw_path: bytes = scope.get("raw_path") or b""
        return _of_model(raw_path) if raw_path.startswith(_MODEL_PREFIX) else None
    said: bytes = scope.get("query_string", b"")
    if said and found.detect is not None:
        query = parse_qs(said.decode("latin-1"))
        if names := query.get("target_format"):
            target = named(names[-1])
            return msgspec.structs.replace(found, answer_dialect=target.as_sse or target)
    return found


def _of_model(raw_path: bytes) -> Asked | None:
    """`/model/{id}/{verb}`: the id may hold colons and slashes, encoded or not."""
    quoted, _, verb = raw_path.removeprefix(_MODEL_PREFIX).rpartition(b"/")
    route = _BY_VERB.get(verb)
    if route is None or not quoted:
        return None
    model = unquote_to_bytes(quoted).decode("utf-8", "replace")
    if verb == b"invoke" and (dialect := embeddings_of_model(model)) is not None:
        return _for_embeddings(dialect, model, signed=True)
    detects = partial(_family, model) if route.detects else None
    return Asked(route.operation, DIALECTS[route.dialect], model, route.stream, detects, signed=True)


def read_counted(exchange: Exchange) -> None:
    """Decode a request to count the tokens of an InvokeModel's body, which is in the words of its model's family."""
    if exchange.dialect.name != "bedrock_converse":
        return
    inner = invoke_body(decode_body(exchange.body))
    if inner is not None:
        body = decode_body(inner)
        exchange.request = family_of(exchange.model, body).decode_request(body)


def _family(model: str, members: Mapping[str, Any]) -> Dialect:
    # Only a message's form, beside the names of members, tells families apart.
    looked_into = {name: decode(value) if name == "messages" else value for name, value in members.items()}
    return family_of(model, looked_into)
