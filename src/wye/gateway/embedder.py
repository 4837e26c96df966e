"""Vectors of Wye's own documents by any model that the gateway can ask, on Wye's own account."""

from __future__ import annotations

from wye.canon.embedding import EmbeddingRequest
from wye.canon.loss import Losses
from wye.dialects.dialect import Dialect, EmbeddingDialect
from wye.gateway.exchange import Exchange
from wye.gateway.pipeline import Pipeline
from wye.kernel import clock
from wye.kernel.errors import BadAnswer, ConfigError, NotFound, UpstreamRefused
from wye.kernel.ids import new_id
from wye.kernel.json import decode_answer, encode

PRINCIPAL = "documents"
"""Under this name the ledger has what it costs. It is bound by the budgets of routes, and by no key's limits."""
_SHORTEST = 100
"""Characters. A text that is still too long then is refused for another reason."""


class GatewayEmbedder:
    """Implements `knowledge.retrieve.Embedder`."""

    def __init__(self, pipeline: Pipeline, dialect: EmbeddingDialect, plain: Dialect, name: str) -> None:
        """`name` is a route or a model of a provider, `dialect` OpenAI's. Raises ConfigError where it makes none."""
        self._pipeline = pipeline
        self._dialect = dialect
        self._plain = plain
        self._name = name
        try:
            route = pipeline.router.route(name)
        except NotFound as error:
            raise ConfigError(error.message) from None
        found = [deployment.provider.embeds(deployment.model) for deployment in route.deployments]
        if not found or None in found:
            raise ConfigError(f"'{name}' makes no embeddings")
        self.model = route.deployments[0].model
        """As its provider calls it: a route of the same name may lead to another model tomorrow."""
        # OpenAI refuses members that it does not know; the other formats have a place for it.
        self._tells_purpose = any(upstream is not dialect for upstream in found)

    async def embed(self, texts: list[str], purpose: str) -> list[list[float]]:
        """Raises what the pipeline raises, BadAnswer. A text that is too long is cut."""
        try:
            return await self._ask(texts, purpose)
        except UpstreamRefused as error:
            if error.code != "context_length_exceeded" or all(len(text) <= _SHORTEST for text in texts):
                raise
        if len(texts) > 1:
            return [vector for text in texts for vector in await self.embed([text], purpose)]
        return await self.embed([texts[0][: len(texts[0]) * 2 // 3]], purpose)

    async def _ask(self, texts: list[str], purpose: str) -> list[list[float]]:
        request = EmbeddingRequest(
            model=self._name, inputs=list(texts), purpose=purpose if self._tells_purpose else None
        )
        body = encode(self._dialect.encode_request(request, Losses()))
        exchange = Exchange(new_id("req_"), self._plain, body, {}, PRINCIPAL, clock.monotonic_s())
        answer = await self._pipeline.embed(exchange, self._dialect, limited=False)
        vectors = [item.vector for item in self._dialect.decode_response(decode_answer(answer.body), {}).embeddings]
        if len(vectors) != len(texts) or not vectors[0] or len({len(vector) for vector in vectors}) != 1:
            raise BadAnswer(
                f"The upstream's answer does not hold a vector of one length for each of {len(texts)} texts"
            )
        return vectors
