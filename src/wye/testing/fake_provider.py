"""A provider of models that has none: every dialect as its vendor serves it, offline, deterministic, with every fault.

    with FakeProvider() as provider:
        client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="any")

Answers and streams are said by the same dialects that Wye itself speaks; the vendors' own clients parse them.
"""

from __future__ import annotations

import hmac
from collections import Counter, deque
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from math import sqrt
from typing import Any
from urllib.parse import urlsplit

import msgspec

from wye.api.ingress import Asked, asked
from wye.canon.embedding import Embedding, EmbeddingResponse
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.canon.response import FinishReason
from wye.canon.usage import Usage
from wye.dialects.bedrock_converse import invoke_body
from wye.dialects.bedrock_invoke.families import family_of
from wye.dialects.dialect import Dialect
from wye.dialects.registry import DIALECTS
from wye.kernel import clock, sigv4
from wye.kernel.errors import BadRequest, Forbidden, LimitExceeded, NotFound, Unauthenticated, WyeError
from wye.kernel.ids import new_id
from wye.kernel.json import JsonError, JsonObject, decode, decode_body, encode
from wye.testing import kept_responses
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body
from wye.testing.faults import Case, fault_named, fault_of_model
from wye.testing.kept_responses import KeptResponses
from wye.testing.replies import Call, Rule, check_history, input_tokens, reply_to, tokens_of
from wye.testing.telling import Pace, Told, refuse, response_of, tell

LOG = "/__log"
_WINDOW_S = 60.0
_MAX_CALLS = 1000
_MAX_CHOICES = 16
_DIMENSIONS = 256
_SECRET_HEADERS = ("authorization", "x-api-key", "cookie", "x-amz-security-token")
MODELS = ("gpt-4o-mini", "text-embedding-3-small", "claude-sonnet-4-5", "anthropic.claude-3-haiku-20240307-v1:0")
"""Listed; any other name is a model too, unless it begins with `no-such`."""


class FakeCall(msgspec.Struct):
    """One call as the log has it. Keys in headers are masked."""

    number: int
    at: float
    """Seconds since 1970."""
    path: str
    headers: dict[str, str]
    body: Any
    """Decoded, where it was JSON."""
    dialect: str = ""
    operation: str = ""
    model: str = ""
    stream: bool = False
    status: int = 0
    fault: str | None = None


class FakeProvider(FakeUpstream):
    """Serves from a thread of its own; see FakeUpstream.

    `rules`: the first that matches a request decides; what it leaves out, and what no rule matches, is as built in.
    `fault` and `pace` befall every answer. `api_key`: the one that callers must have, None for any or none. `tag` tells
    instances apart: in the header `x-fake-instance`, in OpenAI's `system_fingerprint`, in the log.
    `requests_per_minute`: calls beyond it are refused with 429, until the minute is over.
    """

    def __init__(
        self,
        rules: Iterable[Rule] = (),
        *,
        port: int = 0,
        tag: str = "fake",
        api_key: str | None = None,
        fault: str | None = None,
        latency_s: float = 0.0,
        tokens_per_s: float | None = None,
        requests_per_minute: int | None = None,
    ) -> None:
        super().__init__(self._answer, port=port, keep=_MAX_CALLS)
        if fault is not None:
            fault_named(fault)
        self.rules = list(rules)
        self.tag = tag
        self.fault = fault
        self.pace = Pace(latency_s, tokens_per_s)
        self.calls: deque[FakeCall] = deque(maxlen=_MAX_CALLS)
        self.counters: Counter[str] = Counter()
        """`calls`, and calls by `model:`, `dialect:`, `status:` and `fault:`."""
        self._api_key = api_key
        self._limit = requests_per_minute
        self._window: tuple[float, int] = (clock.monotonic_s(), 0)
        self._used: Counter[int] = Counter()
        self._befallen: dict[tuple[str, str], tuple[int, float]] = {}
        self._kept = KeptResponses()

    def when(
        self,
        pattern: str = "",
        *,
        say: str | None = None,
        think: str | None = None,
        call: Call | list[Call] | None = None,
        finish: FinishReason | None = None,
        fault: str | None = None,
        system: str = "",
        model: str = "*",
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        times: int | None = None,
    ) -> None:
        """Add a rule: see Rule. The rules before it go first."""
        if fault is not None:
            fault_named(fault)
        self.rules.append(
            Rule(
                when=pattern,
                system=system,
                model=model,
                say=say,
                think=think,
                call=call,
                finish=finish,
                fault=fault,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                times=times,
            )
        )

    def forget(self) -> None:
        """Empty the log and the counters. Rules stay, also how often they have applied."""
        self.requests.clear()
        self.calls.clear()
        self.counters.clear()
        self.left = 0

    def log(self) -> JsonObject:
        """What `GET /__log` says."""
        counters = {**self.counters, "connections": self.connections, "left": self.left}
        return {"instance": self.tag, "counters": counters, "calls": [msgspec.to_builtins(call) for call in self.calls]}

    # One request.

    def _answer(self, request: FakeRequest) -> FakeAnswer:
        path = urlsplit(request.path).path
        if path == LOG and request.method in ("GET", "DELETE"):
            said = self.log()
            if request.method == "DELETE":
                self.forget()
            return json_body(said)
        call = self._logged(request, path)
        request_id = new_id("req_")
        plain = DIALECTS["anthropic_messages" if "anthropic-version" in request.headers else "openai_chat"]
        found: Asked | None = None
        try:
            if (kept := self._kept_page(request)) is not None:
                answer = json_body(kept)
            elif request.method == "GET":
                answer = _page(path, plain)
            else:
                found = asked({"path": path, "raw_path": path.encode("latin-1"), "query_string": b""})
                if found is None or request.method != "POST":
                    raise NotFound(f"Unknown request URL: {request.method} {path}", code="unknown_url")
                answer = self._served(request, found, call)
        except WyeError as error:
            answer = refuse(found.dialect if found else plain, error, request_id)
        answer.headers = {**answer.headers, **self._about(found.dialect if found else plain, request_id)}
        call.status = answer.status if answer.head else 0
        self.counters[f"status:{call.status}"] += 1
        return answer

    def _logged(self, request: FakeRequest, path: str) -> FakeCall:
        headers = {name: "***" if name in _SECRET_HEADERS else value for name, value in request.headers.items()}
        try:
            body: Any = decode(request.body) if request.body else None
        except JsonError:
            body = request.body.decode("utf-8", "replace")
        self.counters["calls"] += 1
        call = FakeCall(self.counters["calls"], clock.wall_s(), path, headers, body)
        self.calls.append(call)
        return call

    def _served(self, request: FakeRequest, found: Asked, call: FakeCall) -> FakeAnswer:
        call.operation = found.operation
        self._check_key(request)
        if found.dialect.name == "anthropic_messages" and "anthropic-version" not in request.headers:
            raise BadRequest("anthropic-version: header is required")
        body = decode_body(request.body)
        if found.embeddings is not None:
            return self._embedded(request, found, body, call)
        dialect, chat = _read(request, found, body)
        self._note(call, dialect.name, chat.model, chat.stream)
        if found.operation == "count_tokens":
            assert dialect.encode_count is not None, "ingress knows only dialects that count"
            return json_body(dialect.encode_count(input_tokens(chat)))
        self._count_call()
        rule = self._rule(chat)
        check_history(chat, self._kept.calls_before(chat))
        said: dict[str, Told] = {}

        def told() -> Told:
            if "it" not in said:
                choices = min(chat.n or 1, _MAX_CHOICES)
                replies = [reply_to(chat, rule) for _ in range(choices)]
                response = response_of(dialect, chat, replies, self.tag)
                said["it"] = tell(dialect, chat, response, self._pace(request, rule))
                if dialect.name == kept_responses.DIALECT:
                    self._kept.keep(chat, body.get("input"), replies[0].parts, said["it"])
            return said["it"]

        spec = (rule.fault if rule else None) or self._fault(request, chat.model)
        return self._befall(spec, Case(dialect, chat, told, 0, 0.0), chat.model, call)

    def _kept_page(self, request: FakeRequest) -> JsonObject | None:
        """What is said of answers that are kept; None for any other address. Raises WyeError."""
        address = urlsplit(request.path)
        match address.path.removeprefix("/v1").strip("/").split("/"):
            case ["responses", first, *rest] if request.method != "POST" or rest:
                self._check_key(request)
                return self._kept.page(request.method, [first, *rest], address.query)
            case _:
                return None

    def _embedded(self, request: FakeRequest, found: Asked, body: JsonObject, call: FakeCall) -> FakeAnswer:
        embeddings = found.embeddings
        assert embeddings is not None
        asked_for = embeddings.decode_request({**body, "model": found.model} if found.model else body)
        self._note(call, embeddings.name, asked_for.model, False)
        self._count_call()

        def told() -> Told:
            vectors = [Embedding(_vector(text, asked_for.dimensions or _DIMENSIONS)) for text in asked_for.inputs]
            count = sum(len(tokens_of(text)) if isinstance(text, str) else len(text) for text in asked_for.inputs)
            response = EmbeddingResponse(model=asked_for.model, embeddings=vectors, usage=Usage(count))
            said = encode(embeddings.encode_response(asked_for, response, Losses()))
            headers = {"content-type": "application/json"}
            if embeddings.model_in_path:
                headers["x-amzn-bedrock-input-token-count"] = str(count)
            pace = self._pace(request, None)
            return Told([said[: len(said) // 2], said[len(said) // 2 :]], [1], False, headers, pace.latency_s)

        spec = self._fault(request, asked_for.model)
        return self._befall(spec, Case(found.dialect, None, told, 0, 0.0), asked_for.model, call)

    def _befall(self, spec: str | None, case: Case, model: str, call: FakeCall) -> FakeAnswer:
        if spec is None:
            return case.told().answer()
        fault, argument = fault_named(spec)
        call.fault = spec
        self.counters[f"fault:{spec}"] += 1
        now_s = clock.monotonic_s()
        number, first_s = self._befallen.get((spec, model), (0, now_s))
        self._befallen[spec, model] = number + 1, first_s
        while len(self._befallen) > _MAX_CALLS:
            del self._befallen[next(iter(self._befallen))]
        case.number, case.since_s = number + 1, now_s - first_s
        return fault.apply(case, argument)

    def _note(self, call: FakeCall, dialect: str, model: str, stream: bool) -> None:
        call.dialect, call.model, call.stream = dialect, model, stream
        self.counters[f"dialect:{dialect}"] += 1
        self.counters[f"model:{model[:200]}"] += 1
        if model.startswith("no-such"):
            raise NotFound(f"The model `{model[:200]}` does not exist or you do not have access to it.", param="model")

    # What decides about an answer.

    def _rule(self, chat: ChatRequest) -> Rule | None:
        for at, rule in enumerate(self.rules):
            if (rule.times is None or self._used[at] < rule.times) and rule.matches(chat):
                self._used[at] += 1
                return rule
        return None

    def _fault(self, request: FakeRequest, model: str) -> str | None:
        return request.headers.get("x-fake-fault") or fault_of_model(model) or self.fault

    def _pace(self, request: FakeRequest, rule: Rule | None) -> Pace:
        latency_s = rule.latency_s if rule is not None and rule.latency_s is not None else self.pace.latency_s
        tokens_per_s = rule.tokens_per_s if rule is not None else None
        return Pace(
            _number(request, "x-fake-latency", latency_s) or 0.0,
            _number(request, "x-fake-tokens-per-s", tokens_per_s or self.pace.tokens_per_s) or None,
        )

    def _check_key(self, request: FakeRequest) -> None:
        """Raises Unauthenticated, or Forbidden for a signature that is not of this key."""
        if self._api_key is None:
            return
        authorization = request.headers.get("authorization", "")
        if authorization.startswith(sigv4.ALGORITHM):
            headers = {name.encode(): value.encode("latin-1") for name, value in request.headers.items()}
            parts = urlsplit(request.path)
            claim = sigv4.read_claim(headers, service="bedrock")
            path, query = parts.path.encode("latin-1"), parts.query.encode("latin-1")
            sigv4.verify(claim, self._api_key, b"POST", path, query, headers, request.body, clock.wall_s())
            return
        given = request.headers.get("x-api-key") or authorization.removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode("latin-1"), self._api_key.encode()):
            if request.path.startswith("/model/"):
                raise Forbidden("The security token included in the request is invalid.", code="AccessDeniedException")
            raise Unauthenticated("Incorrect API key provided.")

    def _count_call(self) -> None:
        """Raises LimitExceeded when the minute's calls are used up."""
        begun_s, used = self._window
        now_s = clock.monotonic_s()
        if now_s - begun_s >= _WINDOW_S:
            begun_s, used = now_s, 0
        if self._limit is not None and used >= self._limit:
            left_s = max(1, round(_WINDOW_S - (now_s - begun_s)))
            raise LimitExceeded(f"Rate limit reached: {self._limit} requests per minute.", retry_after_s=left_s)
        self._window = begun_s, used + 1

    def _about(self, dialect: Dialect, request_id: str) -> dict[str, str]:
        """What the vendor says in the headers of every answer."""
        headers = {"x-fake-instance": self.tag, (dialect.request_id_header or b"x-request-id").decode(): request_id}
        begun_s, used = self._window
        limit = self._limit or 10_000
        left, reset_s = max(0, limit - used), max(0.0, _WINDOW_S - (clock.monotonic_s() - begun_s))
        if dialect.name.startswith("openai"):
            headers |= {"openai-version": "2020-10-01", "openai-processing-ms": "1"}
            headers |= {"x-ratelimit-limit-requests": str(limit), "x-ratelimit-remaining-requests": str(left)}
            headers["x-ratelimit-reset-requests"] = f"{reset_s:.0f}s"
        elif dialect.name == "anthropic_messages":
            prefix = "anthropic-ratelimit-requests"
            reset = datetime.fromtimestamp(clock.wall_s() + reset_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            headers |= {f"{prefix}-limit": str(limit), f"{prefix}-remaining": str(left), f"{prefix}-reset": reset}
        return headers


def _read(request: FakeRequest, found: Asked, body: JsonObject) -> tuple[Dialect, ChatRequest]:
    """The request, and its dialect: on Bedrock's routes the model's name and the body's form tell it."""
    dialect = found.dialect
    headers = {name.encode(): value.encode("latin-1") for name, value in request.headers.items()}
    if found.operation == "count_tokens":
        inner = invoke_body(body) if dialect.name == "bedrock_converse" else None
        if inner is not None:
            body = decode_body(inner)
            return dialect, family_of(found.model, body).decode_request({**body, "model": found.model})
        assert dialect.decode_count is not None
        return dialect, dialect.decode_count({**body, "model": found.model} if found.model else body)
    if found.model:
        if found.detect is not None:
            dialect = family_of(found.model, body)
        body = {**body, "model": found.model, "stream": bool(found.stream)}
    chat = dialect.decode_request(body)
    if dialect.headers is not None:
        chat = dialect.headers.decode_request(chat, headers)
    return dialect, chat


def _page(path: str, plain: Dialect) -> FakeAnswer:
    """The pages beside the data path. Raises NotFound."""
    match path.removeprefix("/v1").strip("/").split("/"):
        case ["health"]:
            return json_body({"status": "ok"})
        case ["inference-profiles"]:
            return json_body({"inferenceProfileSummaries": [_bedrock_profile(name) for name in MODELS if "." in name]})
        case ["models"] if plain.name == "anthropic_messages":
            listed = [_anthropic_model(name) for name in MODELS]
            return json_body({"data": listed, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})
        case ["models"]:
            return json_body({"object": "list", "data": [_openai_model(name) for name in MODELS]})
        case ["models", name] if not name.startswith("no-such"):
            return json_body(_anthropic_model(name) if plain.name == "anthropic_messages" else _openai_model(name))
        case _:
            raise NotFound(f"Unknown request URL: GET {path}", code="unknown_url")


def _openai_model(name: str) -> JsonObject:
    return {"id": name, "object": "model", "created": 1700000000, "owned_by": "fake"}


def _anthropic_model(name: str) -> JsonObject:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2025-01-01T00:00:00Z"}


def _bedrock_profile(name: str) -> JsonObject:
    """https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html"""
    return {
        "inferenceProfileName": name,
        "inferenceProfileId": f"us.{name}",
        "inferenceProfileArn": f"arn:aws:bedrock:us-east-1::inference-profile/us.{name}",
        "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{name}"}],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def _vector(given: str | list[int], dimensions: int) -> list[float]:
    """Of length 1. Texts that share words point in similar directions."""
    words = tokens_of(given.lower()) if isinstance(given, str) else [str(token) for token in given]
    vector = [0.0] * dimensions
    for word in words or [""]:
        digest = sha256(word.strip().encode()).digest()
        for i in range(0, len(digest), 4):
            vector[int.from_bytes(digest[i : i + 3]) % dimensions] += 1.0 if digest[i + 3] & 1 else -1.0
    length = sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


def _number(request: FakeRequest, name: str, otherwise: float | None) -> float | None:
    """Raises BadRequest."""
    given = request.headers.get(name)
    if given is None:
        return otherwise
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise BadRequest(f"{name} must be a number, 0 or more, not '{given[:50]}'", param=name)
    return value
