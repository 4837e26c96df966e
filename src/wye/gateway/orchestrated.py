"""A panel's answer to one request: its calls go the way of any call, its events to the caller in its own dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from wye.canon.events import Event, Failure, Ping, is_content
from wye.canon.fold import Fold, unfold
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest, Message
from wye.canon.tools import FunctionTool
from wye.canon.usage import Usage, total_of
from wye.dialects.dialect import StreamEncoder
from wye.gateway.call_record import attempts_of
from wye.gateway.deployment import Deployment, Route
from wye.gateway.exchange import Exchange, Outlet, Stream, Whole
from wye.gateway.relay.answer import whole_answer
from wye.gateway.routing.router import Router
from wye.gateway.settle import Settlement
from wye.kernel import clock
from wye.kernel.errors import BadRequest, CapacityError, UpstreamError, WyeError
from wye.ports.inference import Answered, Audience, Panel

Ask = Callable[[Exchange, Route], Awaitable[Whole | Stream]]
Cost = Callable[[Deployment, Usage], int | None]

_HOLD_S = 0.5
"""A failure within this time is still an error with a status of its own; then the stream begins, with its progress."""
_ALIVE_S = 10.0
"""After so long without a word the caller, and whatever is between, is told that the answer is still being made."""
_HOLD_BYTES = 64 * 1024


def unknown_cost(deployment: Deployment, usage: Usage) -> int | None:
    """Where nobody has asked for prices."""
    return None


class GatewayInference:
    """Implements `ports.inference.Inference` for one caller's request."""

    def __init__(
        self,
        exchange: Exchange,
        router: Router,
        settlement: Settlement,
        ask: Ask,
        cost: Cost = unknown_cost,
        asks: Route | None = None,
    ) -> None:
        """`cost` tells what so many tokens of a deployment cost, in micro-dollars; `asks` is where the exchange's own
        model is asked, where that is decided."""
        self._asks = asks
        self._cost = cost
        self._exchange = exchange
        self._router = router
        self._settlement = settlement
        self._ask = ask
        self._usages: list[Usage | None] = []

    @property
    def usage(self) -> Usage | None:
        """Of all calls so far."""
        return total_of(self._usages)

    def window(self, model: str) -> int | None:
        return self._route(model).window

    async def calls_tools(self, model: str, tool: FunctionTool) -> bool:
        for deployment in self._route(model).deployments:
            losses, provider = Losses(), deployment.provider
            if not provider.calls_tools(deployment.model):
                return False
            probe = ChatRequest(model=deployment.model, messages=[Message("user", [Text("?")])], tools=[tool])
            try:
                adapted = await provider.adapt(probe, losses)
                deployment.speaks(self._exchange.dialect).encode_request(adapted.request, losses, provider.quirks)
            except (CapacityError, UpstreamError):
                continue  # whoever asks it hears of that
            except BadRequest:
                return False
            if any(loss.field.startswith("tools") for loss in losses):
                return False
        return True

    def cost_micro_usd(self, model: str, usage: Usage) -> int | None:
        costs = [self._cost(deployment, usage) for deployment in self._route(model).deployments]
        known = [cost for cost in costs if cost is not None]
        return max(known) if known and len(known) == len(costs) else None

    async def ask(self, request: ChatRequest, audience: Audience | None = None) -> Answered:
        route = self._route(request.model)
        caller = self._exchange
        heard = _Heard(audience)
        asking = Exchange(
            caller.request_id,
            caller.dialect,
            _said(request),
            caller.headers,
            caller.principal,
            clock.monotonic_s(),
            caller.strict or route.strict,
            model=request.model,
            stream=request.stream,
            request=request,
            listener=heard,
        )
        await self._settlement.fund(asking, route, request.max_tokens)
        stream: Stream | None = None
        whole: Whole | None = None
        try:
            answer = await self._ask(asking, route)
            if isinstance(answer, Whole):
                whole = answer
                self._usages.append(answer.usage)
                self._settlement.served(asking, answer.usage, failed=False)
            else:
                stream = answer
                await stream.relay(heard)
        finally:
            if stream is not None:
                stream.close()
                self._usages.append(stream.usage)
                self._settlement.served(asking, stream.usage, failed=stream.failed)
                self._settlement.pay(asking, stream.usage, failed=stream.failed)
            else:
                self._settlement.pay(asking, whole.usage if whole is not None else None, failed=whole is None)
            caller.attempts += asking.attempts
            caller.failures = [*(caller.failures or ()), *attempts_of(asking, None)]
            for loss in asking.losses:
                caller.losses.add(loss.field, loss.reason, loss.severity)
        if heard.fold.failure is not None:
            raise heard.fold.failure
        response = heard.fold.response()
        deployment = asking.serving.id if asking.serving is not None else ""
        return Answered(response, response.usage, deployment, asking.attempts)

    def _route(self, model: str) -> Route:
        if self._asks is not None and model == self._exchange.model:
            return self._asks
        route = self._router.route(model)
        if route.panel is not None:
            raise BadRequest(
                f"'{model[:200]}' stands for several models itself: a panel's members are single models",
                param="model",
                code="nested_orchestration",
            )
        return route


class _Heard(StreamEncoder, Outlet):
    """Collects one answer, and lets an audience hear it. Takes the place of the encoder and of the outlet both."""

    def __init__(self, audience: Audience | None) -> None:
        self.fold = Fold()
        self._audience = audience
        self._free = True

    def encode(self, event: Event) -> bytes:
        self.fold.add(event)
        if self._audience is not None:
            self._free = self._audience.hear(event)
        return b"."  # anything: so that `say` tells whether the audience follows

    def say(self, data: bytes) -> bool:
        return self._free

    async def drained(self) -> None:
        if self._audience is not None:
            await self._audience.drained()


async def orchestrate(exchange: Exchange, panel: Panel, inference: GatewayInference) -> Whole | Stream:
    """Answer by a panel. Raises WyeError, as long as nothing is said."""
    request = msgspec.structs.replace(exchange.canonical(), model=exchange.model, stream=bool(exchange.stream))
    if exchange.stream:
        encoder = exchange.listener or exchange.speaks.stream_encoder(request, exchange.losses)
        stream = PanelStream(encoder, inference)
        await stream.open(panel.answer(request, inference, stream))
        return stream
    fold = Fold()
    await panel.answer(request, inference, _Collector(fold))
    response = fold.response()
    if exchange.listener is not None:
        for event in unfold(response):
            exchange.listener.encode(event)
        return Whole(b"", response.usage)
    return whole_answer(exchange, request, response)


class _Collector:
    """Implements `Audience` for a caller that waits for the whole."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold

    def hear(self, event: Event) -> bool:
        self._fold.add(event)
        return True

    async def drained(self) -> None: ...


class PanelStream:
    """Implements `exchange.Stream`, and `Audience` for the panel: its events in the caller's dialect, as they come."""

    def __init__(self, encoder: StreamEncoder, inference: GatewayInference) -> None:
        self._encoder = encoder
        self._inference = inference
        self._outlet: Outlet | None = None
        self._held = bytearray()
        self._begun = asyncio.Event()
        self._relayed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._heard_s = clock.monotonic_s()
        self._over = False
        self.failed = False

    @property
    def usage(self) -> Usage | None:
        return self._inference.usage

    async def open(self, work: Awaitable[None]) -> None:
        """Let the panel begin. Raises the WyeError that ends it before there is anything worth a stream."""
        task = self._task = asyncio.ensure_future(work)
        begun = asyncio.ensure_future(self._begun.wait())
        try:
            await asyncio.wait((task, begun), timeout=_HOLD_S, return_when=asyncio.FIRST_COMPLETED)
            if task.done() and not self._begun.is_set():
                task.result()
        except BaseException:
            self.close()
            raise
        finally:
            begun.cancel()

    def hear(self, event: Event) -> bool:
        if self._over:
            return True  # its end is said
        if is_content(event):
            self._begun.set()
        return self._say(self._encoder.encode(event))

    async def drained(self) -> None:
        if self._outlet is None:
            await self._relayed.wait()
        else:
            await self._outlet.drained()

    async def relay(self, outlet: Outlet) -> None:
        task = self._task
        assert task is not None, "opened before"
        held, self._held = bytes(self._held), bytearray()
        self._outlet = outlet
        self._relayed.set()
        if held and not outlet.say(held):
            await outlet.drained()
        while not task.done():
            await asyncio.wait((task,), timeout=_ALIVE_S)
            if not task.done() and clock.monotonic_s() - self._heard_s >= _ALIVE_S:
                self.hear(Ping({"state": "waiting"}))
                await outlet.drained()
        try:
            task.result()
        except WyeError as error:
            self.failed = True
            outlet.say(self.cut(error))
        self._over = True

    def cut(self, error: WyeError) -> bytes:
        if self._over:
            return b""
        self._over = True
        return self._encoder.encode(Failure(error))

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _say(self, said: bytes) -> bool:
        if said:
            self._heard_s = clock.monotonic_s()
        if self._outlet is not None:
            return not said or self._outlet.say(said)
        self._held += said
        return len(self._held) < _HOLD_BYTES


def _said(request: ChatRequest) -> bytes:
    """About what is asked, by whose length a route chooses."""
    return "".join(part.text for m in request.messages for part in m.parts if isinstance(part, Text)).encode()
