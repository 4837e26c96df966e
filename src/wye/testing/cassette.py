"""Sessions with a real server, recorded once and replayed for ever: a server that forwards and writes down, and one
that answers from what was written.

A cassette is a file of YAML to be read and committed: no request header is in it but the few that matter, and keys are
replaced wherever they stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from wye.kernel import sse
from wye.kernel.errors import ConfigError
from wye.kernel.json import JsonError, as_list, as_object, decode, encode_text
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body
from wye.testing.forwarder import Forwarder

_REQUEST_HEADERS = ("anthropic-beta", "anthropic-version", "content-type", "openai-beta")
_ANSWER_HEADERS = re.compile(r"content-type|retry-after|request-id|x-request-id|x-amzn-.*|.*ratelimit-.*")
_SECRET_MEMBERS = re.compile(r"(?i)api[-_]?key|authorization|password|secret|access[-_]?token|session[-_]?token")
_SECRETS = re.compile(
    r"\b(?:sk|rk|pk|xai|gsk|hf|ghp|AIza)[-_][A-Za-z0-9_-]{16,}|\bAIza[A-Za-z0-9_-]{30,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|(?i:\bbearer) [A-Za-z0-9._~+/=-]{8,}|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"
)
_MASK = "***"


class Interaction(msgspec.Struct, forbid_unknown_fields=True):
    """A request and its answer."""

    method: str
    path: str
    """With the query."""
    headers: dict[str, str]
    request: Any
    """Decoded where it was JSON; else its text, or bytes."""
    status: int
    answer_headers: dict[str, str]
    answer: list[Any]
    """What was sent, as texts or bytes, in pieces that belong together: the frames of a stream, else one."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    cassette: int
    interactions: list[Interaction]


def load(path: Path) -> list[Interaction]:
    """Raises ConfigError."""
    try:
        interactions = msgspec.convert(yaml.safe_load(path.read_text()), _File).interactions
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no cassette: {error}") from None
    if not all(isinstance(piece, str | bytes) for item in interactions for piece in item.answer):
        raise ConfigError(f"{path} is no cassette: an answer is a list of texts (or of bytes)")
    return interactions


def save(path: Path, interactions: Sequence[Interaction]) -> None:
    """Whole or not at all: another process never reads half of it. Raises OSError."""
    plain = {"cassette": 1, "interactions": [msgspec.structs.asdict(item) for item in interactions]}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120))
    beside.replace(path)


# Without secrets


def scrubbed(value: Any, secrets: Iterable[str] = ()) -> Any:
    """A decoded value without keys: those given, what looks like one, and every text under a name like `api_key`."""
    known = [secret for secret in secrets if len(secret) >= 4]
    return _scrubbed(value, known)


def _scrubbed(value: Any, known: Sequence[str]) -> Any:
    if isinstance(value, str):
        for secret in known:
            value = value.replace(secret, _MASK)
        return _SECRETS.sub(_MASK, value)
    if (members := as_object(value)) is not None:
        return {
            name: _MASK if _SECRET_MEMBERS.fullmatch(name) and isinstance(member, str) else _scrubbed(member, known)
            for name, member in members.items()
        }
    if (items := as_list(value)) is not None:
        return [_scrubbed(item, known) for item in items]
    return value


def _secrets_of(request: FakeRequest) -> list[str]:
    found = [request.headers.get(name, "") for name in ("authorization", "x-api-key", "x-amz-security-token", "cookie")]
    return [part for value in found for part in (value, value.rpartition(" ")[2]) if part]


def _body_of(body: bytes) -> Any:
    try:
        return decode(body) if body else None
    except JsonError:
        pass
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


def _path_of(path: str) -> str:
    """Without keys that stand in the query."""
    return re.sub(r"([?&](?:key|api[-_]?key|token)=)[^&]*", rf"\1{_MASK}", path)


# Recording


class Recorder(Forwarder):
    """Forwards to `base_url` and writes every whole answer to the cassette once it is over."""

    def __init__(self, path: Path, base_url: str, *, port: int = 0) -> None:
        super().__init__(base_url, port=port)
        self._path = path
        self.interactions: list[Interaction] = []

    def ended(self, request: FakeRequest, status: int, headers: dict[str, str], body: bytes, *, whole: bool) -> None:
        if not whole:
            return
        secrets = _secrets_of(request)
        kept = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        told = {name: value for name, value in headers.items() if _ANSWER_HEADERS.fullmatch(name)}
        self.interactions.append(
            Interaction(
                request.method,
                _path_of(request.path),
                kept,
                scrubbed(_body_of(request.body), secrets),
                status,
                scrubbed(told, secrets),
                scrubbed(_pieces_of(body, told.get("content-type", "")), secrets),
            )
        )
        save(self._path, self.interactions)


def _pieces_of(body: bytes, content_type: str) -> list[str | bytes]:
    try:
        if content_type.startswith("text/event-stream"):
            frames = sse.split(body)
            rest = body[sum(map(len, frames)) :]
            return [frame.decode() for frame in (*frames, rest) if frame]
        return [body.decode()] if body else []
    except UnicodeDecodeError:
        return [body]


# Replaying


class Replayer(FakeUpstream):
    """Answers from a cassette: the same request in the order of its answers, the last again and again.

    A request that is not in it is answered with 400 and what differs from the nearest that is, and kept in `misses`.
    """

    def __init__(self, path: Path, *, port: int = 0) -> None:
        super().__init__(self._replay, port=port)
        self._path = path
        self.interactions = load(path)
        self.misses: list[str] = []
        self._played: set[int] = set()

    def unused(self) -> list[Interaction]:
        """What was recorded and never asked for."""
        return [item for i, item in enumerate(self.interactions) if i not in self._played]

    def _replay(self, request: FakeRequest) -> FakeAnswer:
        body = scrubbed(_body_of(request.body), _secrets_of(request))
        path = _path_of(request.path)
        same = [
            i
            for i, item in enumerate(self.interactions)
            if (item.method, item.path, item.request) == (request.method, path, body)
        ]
        if not same:
            return self._miss(request.method, path, body)
        at = next((i for i in same if i not in self._played), same[-1])
        self._played.add(at)
        found = self.interactions[at]
        pieces = [piece.encode() if isinstance(piece, str) else piece for piece in found.answer]
        return FakeAnswer([*pieces], found.status, found.answer_headers)

    def _miss(self, method: str, path: str, body: Any) -> FakeAnswer:
        differences = [_differences(item, method, path, body) for item in self.interactions]
        nearest = min(differences, key=len) if differences else ["the cassette is empty"]
        told = "\n".join(f"  {line}" for line in nearest[:20])
        message = f"{method} {path} is not in {self._path.name}. Of the nearest request there it differs in\n{told}"
        self.misses.append(message)
        error = {"message": message, "type": "cassette_miss", "code": "cassette_miss", "param": None}
        return json_body({"type": "error", "error": error, "message": message}, 400)


def _differences(item: Interaction, method: str, path: str, body: Any) -> list[str]:
    found = [] if item.method == method else [f"method: recorded {item.method}, asked {method}"]
    if item.path != path:
        found += [f"path: recorded {item.path}, asked {path}"] * 3  # another path is further away than any member
    recorded, asked = dict(_members(item.request)), dict(_members(body))
    for name in sorted({*recorded, *asked}):
        if name not in asked:
            found.append(f"{name}: recorded {recorded[name]}, not asked")
        elif name not in recorded:
            found.append(f"{name}: not recorded, asked {asked[name]}")
        elif recorded[name] != asked[name]:
            found.append(f"{name}: recorded {recorded[name]}, asked {asked[name]}")
    return list(dict.fromkeys(found)) if item.path == path else found


def _members(value: Any, at: str = "") -> Iterable[tuple[str, str]]:
    """Each text, number and empty thing within a value, by its path."""
    if members := as_object(value):
        for name, member in members.items():
            yield from _members(member, f"{at}.{name}" if at else name)
    elif items := as_list(value):
        for i, item in enumerate(items):
            yield from _members(item, f"{at}[{i}]")
    else:
        shown = encode_text(value if not isinstance(value, bytes) else f"{len(value)} bytes")
        yield at or "body", shown[:200]
