"""Models that a server of OpenAI's API elsewhere holds: vLLM, SGLang, llama-server, another Wye. Wye asks them as it
asks its own, in turn and with the same care, but neither loads nor unloads them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

import msgspec

from wye.kernel import clock
from wye.kernel.errors import Conflict, NoDeployment, NotFound, WyeError
from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode
from wye.ports.engine import Address, LocalModel
from wye.ports.transport import Clocks, Transport

log = logging.getLogger("wye")

LOOK_S = 15.0
"""How often a server is asked whether it is there."""
DEFAULT_CONTEXT = 8192
"""Taken for the context of a model whose server does not tell."""
_CLOCKS = Clocks(connect_s=2.0, headers_s=5.0)
_MAX_BYTES = 1024 * 1024


class Attached(msgspec.Struct, frozen=True):
    """A model of a server elsewhere."""

    address: Address
    url: str
    """Of the server, for people."""
    slots: int
    context_length: int | None = None
    """None leaves it to the server to tell."""
    roles: tuple[str, ...] = ()


class _Seen(msgspec.Struct, frozen=True):
    """What the last look at a server found."""

    error: str | None
    context_length: int | None = None


class AttachedEngine:
    """Implements `ports.engine.Engine`."""

    def __init__(self, models: Mapping[str, Attached], transport: Transport) -> None:
        self._models = models
        self._transport = transport
        self._seen: dict[str, _Seen] = {}
        self._created = clock.unix_s()
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._watch = asyncio.create_task(self._keep_looking())

    def models(self) -> list[LocalModel]:
        return [self._describe(name) for name in self._models]

    async def load(self, model: str) -> LocalModel:
        """Look whether the model's server is there. Raises NotFound, NoDeployment."""
        self._known(model)
        await self._look(model)
        described = self._describe(model)
        if described.error is not None:
            raise NoDeployment(described.error)
        return described

    async def unload(self, model: str) -> LocalModel:
        """Raises Conflict, NotFound."""
        raise Conflict(f"'{model}' belongs to the server at {self._known(model).url}: unload it there")

    async def address(self, model: str) -> Address:
        return self._known(model).address

    def demand_room(self, models: Collection[str]) -> None:
        """They are not in this machine's memory."""

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    def _known(self, model: str) -> Attached:
        found = self._models.get(model)
        if found is None:
            raise NotFound(f"Model '{model[:200]}' not found", param="model", code="model_not_found")
        return found

    def _describe(self, name: str) -> LocalModel:
        model, seen = self._models[name], self._seen.get(name)
        told = seen.context_length if seen is not None else None
        return LocalModel(
            name,
            "available" if seen is None else "loaded" if seen.error is None else "failed",
            self._created,
            model.context_length or told or DEFAULT_CONTEXT,
            0,
            list(model.roles),
            seen.error if seen is not None else None,
            model.slots,
        )

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.gather(*map(self._look, self._models))
            await asyncio.sleep(LOOK_S)

    async def _look(self, name: str) -> None:
        model = self._models[name]
        try:
            seen = _Seen(None, _context_of(await self._list(model.address), model.address.model or name))
        except WyeError as error:
            seen = _Seen(f"'{name}' cannot be asked: the server at {model.url} does not answer: {error.message}")
        before = self._seen.get(name)
        if seen.error is not None and (before is None or before.error is None):
            log.warning("%s", seen.error)
        self._seen[name] = seen

    async def _list(self, address: Address) -> JsonObject:
        reply = await self._transport.send(
            address.origin, b"GET", address.prefix + b"/v1/models", address.headers, b"", _CLOCKS
        )
        try:
            body = await reply.read_all(_MAX_BYTES, _CLOCKS.headers_s)
        finally:
            reply.close()
        if reply.status != 200:
            raise NoDeployment(f"it answered {reply.status} when it was asked for its models")
        try:
            return as_object(decode(body)) or {}
        except JsonError:
            return {}


def _context_of(listed: JsonObject, model: str) -> int | None:
    """What a server's list tells of a model's context: Wye, vLLM and SGLang, llama-server each in their own member."""
    models = [as_object(item) or {} for item in as_list(listed.get("data")) or ()]
    found = next((item for item in models if item.get("id") == model), models[0] if len(models) == 1 else {})
    meta = as_object(found.get("meta")) or {}
    told = found.get("context_length") or found.get("max_model_len") or meta.get("n_ctx_train")
    return told if isinstance(told, int) and told > 0 else None
