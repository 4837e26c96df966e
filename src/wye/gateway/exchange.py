"""One request on its way through the gateway, and the answer that leaves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, final

import msgspec

from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.canon.usage import Usage
from wye.dialects.dialect import Dialect, StreamEncoder
from wye.gateway.deployment import Deployment
from wye.gateway.policy.budgets import Spending
from wye.gateway.policy.limits import Reservation
from wye.kernel.errors import BadRequest, WyeError
from wye.kernel.json import JsonObject, Raw, decode_body
from wye.ports.telemetry import Attempt
from wye.ports.transport import HeaderMap, Sent


class Exchange(msgspec.Struct):
    """What is known of a call, filled in as it goes down the pipeline."""

    request_id: str
    dialect: Dialect
    """That of the request."""
    body: bytes
    headers: HeaderMap
    principal: str
    started_s: float
    strict: bool = False
    answer_dialect: Dialect | None = None
    """That of the answer, where the caller asked for another than the request's."""
    detect: Callable[[Mapping[str, Any]], Dialect] | None = None
    """Finds the request's dialect by its members, where it may be another one than it seems."""
    model: str = ""
    stream: bool | None = None
    """None until the body has been looked at."""
    request: ChatRequest | None = None
    """The canonical form, once somebody has asked for it."""
    members: dict[str, Raw] = {}
    """The body's top level, not decoded further."""
    continues: str | None = None
    """The id of an earlier answer whose words now stand in the body in its place."""
    cited_files: Sequence[str] = ()
    """The ids of files that the answer is to be cited from."""
    lost: Losses | None = None
    """Of the translation; None as long as nobody asked for `losses`."""
    reservation: Reservation | None = None
    spending: Spending | None = None
    """The money that was reserved."""
    deployment: Deployment | None = None
    """Who was asked last."""
    serving: Deployment | None = None
    """Whose answer goes to the caller."""
    attempts: int = 0
    sent: Sent | None = None
    """What its first attempt has sent already, until somebody goes on with it."""
    operation: str = "chat"
    """Or `embeddings`."""
    asked_s: float = 0.0
    """When the latest attempt began."""
    first_s: float | None = None
    """How long it took until an answer began."""
    failures: list[Attempt] | None = None
    """The attempts that came to nothing."""
    trace: list[str] | None = None
    """What was decided on the way; None until there is something to tell, or from the start for a caller that asks."""

    queue_position: bytes | None = None
    """Where in the queue of a local model, here or behind another Wye, the call has waited."""
    answer_headers: dict[bytes, bytes] | None = None
    """What the caller's dialect says of the answer beside its body."""
    cache: str | None = None
    """`hit`, `miss`, `join` or `bypass`, on routes with a cache."""
    listener: StreamEncoder | None = None
    """Takes the answer's events in place of the caller."""

    @property
    def losses(self) -> Losses:
        """What the translation could not carry, to be added to."""
        if self.lost is None:
            self.lost = Losses()
        return self.lost

    def canonical(self, decode: Callable[[JsonObject], ChatRequest] | None = None) -> ChatRequest:
        """The request, decoded at most once: as a chat request unless another decoder is given. Raises BadRequest."""
        if self.request is None:
            body = decode_body(self.body)
            if self.dialect.model_in_path:
                body = {name: value for name, value in body.items() if name not in ("model", "stream")}
            request = (decode or self.dialect.decode_request)(body)
            if self.dialect.headers is not None:
                request = self.dialect.headers.decode_request(request, self.headers)
            self.request = request
        return self.request

    def has_canonical(self) -> bool:
        """Whether it can be said in the canonical form; what cannot, some upstreams understand as it is."""
        try:
            self.canonical()
        except BadRequest:
            return False
        return True

    def note(self, step: str) -> None:
        if self.trace is None:
            self.trace = []
        self.trace.append(step)

    @property
    def speaks(self) -> Dialect:
        """What the caller is answered in."""
        return self.answer_dialect or self.dialect


@final
class Whole(msgspec.Struct, gc=False):
    """A whole answer, in the caller's dialect."""

    body: bytes
    usage: Usage | None


class Outlet(Protocol):
    """Where an answer's bytes go."""

    def say(self, data: bytes) -> bool:
        """False: await `drained` before saying more."""
        ...

    @property
    def say_chunks(self) -> Callable[[bytes], bool] | None:
        """`say` for what is framed as chunks of HTTP/1.1 already; None where that is not how it goes on."""
        return None

    async def drained(self) -> None: ...


class Stream(Protocol):
    """An answer on its way to the caller, in the caller's dialect."""

    @property
    def usage(self) -> Usage | None: ...

    @property
    def failed(self) -> bool:
        """Whether it broke off after it had begun."""
        ...

    async def relay(self, outlet: Outlet) -> None:
        """Say all of it, no faster than it is taken. An UpstreamError becomes the last that is said."""
        ...

    def cut(self, error: WyeError) -> bytes:
        """What ends it with an error of ours, where `relay` was cancelled; b"" when its end is said."""
        ...

    def close(self) -> None:
        """Let the upstream go. Idempotent."""
        ...


class ListenedStream:
    """Another stream, listened to on its way: a `Stream`, once a subclass says how in `relay`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    @property
    def failed(self) -> bool:
        return self._stream.failed

    def cut(self, error: WyeError) -> bytes:
        return self._stream.cut(error)

    def close(self) -> None:
        self._stream.close()
