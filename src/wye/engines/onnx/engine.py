"""ONNX Runtime as `ports.encoders.Encoders`: a queue and a child process for each model."""

from __future__ import annotations

import array
import asyncio
import logging
from importlib.util import find_spec

import msgspec

from wye.catalog.encoders import EncoderCard
from wye.engines.onnx.child import Ask, EncoderSettings, Read
from wye.kernel.errors import BadRequest, MissingExtra, NoDeployment, NotFound, Overloaded
from wye.ports.encoders import Vectors
from wye.ports.engine import LocalModel, ModelStatus
from wye.ports.weights import Weights
from wye.processes.child import Child, ChildEnded

log = logging.getLogger("wye")

CHILD = "wye.engines.onnx.child:main"
MAX_WAITING = 64
"""Requests that wait for one model; each has one text in the queue at a time, so that none waits for another's all."""
START_S = 60.0
READ_S = 30.0
"""How long one text may take: 512 tokens need 0.13 s of one core."""
RETRY_S = 2.0
"""A start that failed is not tried again sooner."""
MEMORY_BYTES = 1024**3
"""What a child may take. It was seen to take 180 MB."""
_MOST_CHARACTERS = 100_000
"""A longer text is refused by its length: counting its tokens would cost what the refusal is to save."""
_RANKED_CHARACTERS = 8_000
"""Of a passage, more than any model of ours holds."""


class _Queue:
    """One model: its child, and those who wait for it, in order."""

    def __init__(self, settings: EncoderSettings, name: str) -> None:
        self.status: ModelStatus = "loading"
        self.error: str | None = None
        self._settings = settings
        self._name = name
        self._waiting: asyncio.Queue[tuple[Ask, asyncio.Future[Read]]] = asyncio.Queue(MAX_WAITING)
        self._loaded = asyncio.Event()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live())

    @property
    def is_over(self) -> bool:
        return self._life.done()

    async def ready(self) -> None:
        """Wait until the model is loaded. Raises Overloaded with the reason when it is not going to be."""
        await self._loaded.wait()
        if self.error is not None:
            raise self._refusal()

    async def read(self, ask: Ask) -> Read:
        if self.error is not None:
            raise self._refusal()
        future: asyncio.Future[Read] = asyncio.get_running_loop().create_future()
        try:
            self._waiting.put_nowait((ask, future))
        except asyncio.QueueFull:
            raise Overloaded(f"{MAX_WAITING} requests wait for '{self._name}' already", retry_after_s=5) from None
        try:
            await asyncio.wait([future, self._ended], return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                raise self._refusal()
            return future.result()
        finally:
            future.cancel()

    async def stop(self) -> None:
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)

    def _refusal(self) -> Overloaded:
        why = self.error or "it was unloaded"
        return Overloaded(f"The local model '{self._name}' does not work: {why}", retry_after_s=RETRY_S)

    async def _live(self) -> None:
        child = Child(CHILD)
        try:
            await self._start(child)
            while True:
                ask, future = await self._waiting.get()
                if future.cancelled():
                    continue  # its caller has left
                if child.pid is None:
                    log.warning("%s: the encoder's process was ended, and is started again", self._name)
                    await self._start(child)
                async with asyncio.timeout(READ_S):
                    frames = [frame async for frame in child.ask(msgspec.msgpack.encode(ask))]
                if not future.cancelled():
                    future.set_result(msgspec.msgpack.decode(frames[0], type=Read))
        except ChildEnded as error:
            self._fail(str(error))
        except TimeoutError:
            self._fail("its process did not answer in time and was killed")
        finally:
            self._loaded.set()
            self._ended.set_result(None)
            await child.kill()
        await asyncio.sleep(RETRY_S)

    async def _start(self, child: Child) -> None:
        await child.kill()
        async with asyncio.timeout(START_S):
            await child.start(msgspec.msgpack.encode(self._settings))
        self.status = "loaded"
        self._loaded.set()

    def _fail(self, why: str) -> None:
        self.status, self.error = "failed", why
        log.error("%s: the encoder's process failed: %s", self._name, why)


class OnnxEngine:
    def __init__(self, cards: dict[str, EncoderCard], weights: Weights, *, threads: int = 1) -> None:
        """`threads` compute for each model."""
        self._cards = cards
        self._weights = weights
        self._threads = threads
        self._queues: dict[str, _Queue] = {}
        self._one_at_a_time = asyncio.Lock()

    def models(self) -> list[LocalModel]:
        return [self._describe(card) for card in self._cards.values()]

    async def embed(self, model: str, texts: list[str], purpose: str | None = None) -> Vectors:
        card = self._card(model, "embedding")
        prefix = card.query_prefix if purpose == "search_query" else ""
        vectors: list[list[float]] = []
        tokens = 0
        for i, text in enumerate(texts):
            at = f"input[{i}]" if len(texts) > 1 else "input"
            if not text:
                raise BadRequest(f"{at} is an empty string", param=at)
            if len(text) > _MOST_CHARACTERS:
                raise _too_long(card, at, f"{len(text)} characters")
            read = await self._read(card, Ask(prefix + text))
            if not read.numbers:
                raise _too_long(card, at, f"{read.tokens} tokens")
            vectors.append(array.array("f", read.numbers).tolist())
            tokens += read.tokens
        return Vectors(vectors, tokens)

    async def rank(self, model: str, question: str, passages: list[str]) -> list[float]:
        card = self._card(model, "reranker")
        asked = [Ask(question[:_RANKED_CHARACTERS], passage[:_RANKED_CHARACTERS]) for passage in passages]
        return [array.array("f", (await self._read(card, ask)).numbers)[0] for ask in asked]

    async def load(self, model: str) -> LocalModel:
        card = self._card(model)
        await (await self._queue(card)).ready()
        return self._describe(card)

    async def unload(self, model: str) -> LocalModel:
        card = self._card(model)
        async with self._one_at_a_time:
            queue = self._queues.pop(model, None)
            if queue is not None:
                await queue.stop()
        return self._describe(card)

    async def close(self) -> None:
        await asyncio.gather(*(self.unload(model) for model in list(self._queues)))

    async def _read(self, card: EncoderCard, ask: Ask) -> Read:
        return await (await self._queue(card)).read(ask)

    async def _queue(self, card: EncoderCard) -> _Queue:
        queue = self._queues.get(card.id)
        if queue is not None and not queue.is_over:
            return queue
        async with self._one_at_a_time:
            queue = self._queues.get(card.id)
            if queue is None or queue.is_over:
                # In a thread: a large file is read to be hashed.
                settings = await asyncio.to_thread(self._settings, card)
                queue = self._queues[card.id] = _Queue(settings, card.id)
            return queue

    def _settings(self, card: EncoderCard) -> EncoderSettings:
        if any(find_spec(name) is None for name in ("onnxruntime", "tokenizers", "numpy")):
            raise MissingExtra(f"'{card.id}'", "local")
        paths = [self._weights.locate(file) for file in (card.model, card.tokenizer)]
        model, tokenizer = paths
        if model is None or tokenizer is None:
            raise NoDeployment(f"The files of '{card.id}' are not here: {card.model.sources[0].install}")
        return EncoderSettings(
            str(model), str(tokenizer), card.kind, card.model.context_length, self._threads, MEMORY_BYTES
        )

    def _card(self, model: str, kind: str | None = None) -> EncoderCard:
        card = self._cards.get(model)
        if card is None:
            known = ", ".join(self._cards)
            raise NotFound(
                f"Model '{model[:200]}' not found. Local encoders: {known}", param="model", code="model_not_found"
            )
        if kind is not None and card.kind != kind:
            raise BadRequest(f"'{model}' is a model for {card.kind}, not for {kind}", param="model")
        return card

    def _describe(self, card: EncoderCard) -> LocalModel:
        queue = self._queues.get(card.id)
        is_used = queue is not None and not (queue.is_over and queue.error is None)
        is_here = all(self._weights.is_here(file) for file in (card.model, card.tokenizer))
        return LocalModel(
            id=card.id,
            status=queue.status if queue is not None and is_used else "available" if is_here else "absent",
            created=card.model.created,
            context_length=card.model.context_length,
            memory_mb=card.model.bytes // 1024**2,
            roles=[card.kind],
            error=queue.error if queue is not None else None,
        )


def _too_long(card: EncoderCard, at: str, size: str) -> BadRequest:
    most = card.model.context_length
    return BadRequest(
        f"This model's maximum context length is {most} tokens, but {at} has {size}. Shorten it, or split it.",
        param=at,
        code="context_length_exceeded",
    )
