"""Bodies of InvokeModel for the models of Bedrock that make embeddings, each family in its own words.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html
"""

from __future__ import annotations

from wye.dialects.bedrock_embeddings.cohere import DIALECT as COHERE
from wye.dialects.bedrock_embeddings.nova import DIALECT as NOVA
from wye.dialects.bedrock_embeddings.titan import DIALECT as TITAN
from wye.dialects.bedrock_models import base_model
from wye.dialects.dialect import EmbeddingDialect

FAMILIES: tuple[EmbeddingDialect, ...] = (TITAN, COHERE, NOVA)

_BY_MODEL = {
    "amazon.titan-embed-": TITAN,
    "cohere.embed-": COHERE,
    "amazon.nova-2-multimodal-embeddings": NOVA,
}


def family_of_model(model_id: str) -> EmbeddingDialect | None:
    """None for a model that makes no embeddings, or whose id does not tell."""
    name = base_model(model_id)
    return next((dialect for prefix, dialect in _BY_MODEL.items() if name.startswith(prefix)), None)
