"""How a caller says what of a vector store is wanted: the members that `/v1/vector_stores/{id}/search` and the tool
`file_search` have in common. https://platform.openai.com/docs/guides/retrieval
"""

from __future__ import annotations

from collections.abc import Sequence

from wye.kernel.errors import BadRequest
from wye.kernel.fields import Fields
from wye.knowledge.filters import decode_filter
from wye.knowledge.retrieve import USUAL, Ranking
from wye.knowledge.vector_stores import Search

_MOST = 50
_USUALLY = 10


def decode_search(fields: Fields, queries: Sequence[str]) -> Search:
    """`max_num_results`, `filters` and `ranking_options`, for these queries. Raises BadRequest."""
    limit, filters = fields.int("max_num_results"), fields.any("filters")
    if limit is not None and not 1 <= limit <= _MOST:
        at = fields.at("max_num_results")
        raise BadRequest(f"{at} must be a number from 1 to {_MOST}", param=at)
    threshold, ranking = _ranking(fields)
    return Search(
        queries=queries,
        limit=_USUALLY if limit is None else limit,
        filter=None if filters is None else decode_filter(filters, fields.at("filters")),
        threshold=threshold,
        ranking=ranking,
    )


def _ranking(fields: Fields) -> tuple[float, Ranking]:
    """How well a passage must fit, and how the order is found."""
    options = fields.fields("ranking_options")
    if options is None:
        return 0.0, USUAL
    ranker, threshold = options.str("ranker"), _share(options, "score_threshold")
    hybrid = options.fields("hybrid_search")
    weights = USUAL.weights
    if hybrid is not None:
        weights = _share(hybrid, "embedding_weight"), _share(hybrid, "text_weight")
        if not any(weights):
            raise BadRequest(f"{hybrid.path}: one of the weights must be more than 0", param=hybrid.path)
    return threshold, Ranking(weights, rerank=ranker != "none")


def _share(fields: Fields, name: str) -> float:
    value = fields.number(name) or 0.0
    if not 0 <= value <= 1:
        raise BadRequest(f"{fields.at(name)} must be a number from 0 to 1", param=fields.at(name))
    return value
