"""Vectors by the encoders on this machine, as an upstream of the gateway."""

from __future__ import annotations

import asyncio

import msgspec

from wye.canon.embedding import Embedding, EmbeddingResponse
from wye.canon.loss import Losses
from wye.canon.usage import Usage
from wye.dialects.dialect import EmbeddingDialect
from wye.kernel.errors import BadRequest, ClockExpired
from wye.kernel.json import decode_body, encode
from wye.ports.encoders import Encoders
from wye.ports.provider import Call
from wye.ports.transport import HeaderMap, Sink


class LocalEmbeddings:
    def __init__(self, encoders: Encoders, dialect: EmbeddingDialect) -> None:
        """`dialect` is openai_embeddings: in which the gateway asks."""
        self.dialect = dialect
        self._encoders = encoders

    def knows(self, model: str) -> bool:
        return any(known.id == model for known in self._encoders.models())

    async def call(self, call: Call) -> WholeReply:
        """Raises what `Encoders.embed` raises; BadRequest for what these models cannot do, ClockExpired."""
        request = self.dialect.decode_request(decode_body(call.body))
        texts = [text for text in request.inputs if isinstance(text, str)]
        if len(texts) < len(request.inputs):
            raise BadRequest(
                f"input holds token ids, which '{call.model}' cannot read: they belong to another model's vocabulary. "
                "Send text (in LangChain: check_embedding_ctx_length=False)",
                param="input",
            )
        clock_s = call.clocks.headers_s
        try:
            async with asyncio.timeout(clock_s):
                made = await self._encoders.embed(call.model, texts, request.purpose)
        except TimeoutError:
            raise ClockExpired("headers_s", clock_s) from None
        size = len(made.vectors[0])
        if request.dimensions not in (None, size):
            raise BadRequest(
                f"'{call.model}' makes vectors of {size} dimensions, not of {request.dimensions}", param="dimensions"
            )
        response = EmbeddingResponse(
            model=call.model, embeddings=[Embedding(vector) for vector in made.vectors], usage=Usage(made.tokens)
        )
        request = msgspec.structs.replace(request, encoding="base64")
        return WholeReply(encode(self.dialect.encode_response(request, response, Losses())))


class WholeReply:
    """Implements `ports.transport.Reply` for an answer that was made here."""

    def __init__(self, body: bytes) -> None:
        self.status = 200
        self.headers: HeaderMap = {}
        self._body = body

    async def read(self, timeout_s: float, clock: str = "gap_s") -> bytes:
        body, self._body = self._body, b""
        return body

    async def pour(self, sink: Sink, clock: str) -> bool:
        return sink.take(await self.read(0, clock))

    async def read_all(self, limit: int, timeout_s: float) -> bytes:
        return await self.read(timeout_s)

    def close(self) -> None:
        self._body = b""
