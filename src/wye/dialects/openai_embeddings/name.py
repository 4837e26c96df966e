"""The name of this dialect: its key in extras, configuration and metrics."""

from typing import Final

NAME: Final = "openai_embeddings"
