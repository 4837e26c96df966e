"""The dialects by name. A new wire format is one folder and one line here."""

from __future__ import annotations

from wye.dialects.anthropic_messages import DIALECT as ANTHROPIC_MESSAGES
from wye.dialects.bedrock_converse import DIALECT as BEDROCK_CONVERSE
from wye.dialects.bedrock_embeddings import FAMILIES as BEDROCK_EMBEDDINGS
from wye.dialects.bedrock_invoke.families import FAMILIES as BEDROCK_INVOKE
from wye.dialects.dialect import Dialect, EmbeddingDialect
from wye.dialects.openai_chat import DIALECT as OPENAI_CHAT
from wye.dialects.openai_completions import DIALECT as OPENAI_COMPLETIONS
from wye.dialects.openai_embeddings import DIALECT as OPENAI_EMBEDDINGS
from wye.dialects.openai_responses import DIALECT as OPENAI_RESPONSES

_ALL = (
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    OPENAI_COMPLETIONS,
    ANTHROPIC_MESSAGES,
    BEDROCK_CONVERSE,
    *BEDROCK_INVOKE,
)

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in _ALL}

EMBEDDINGS: dict[str, EmbeddingDialect] = {
    dialect.name: dialect for dialect in (OPENAI_EMBEDDINGS, *BEDROCK_EMBEDDINGS)
}
"""Those that ask for vectors."""
