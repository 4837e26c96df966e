"""The name of this dialect: its key in extras, configuration and metrics."""

from typing import Final

NAME: Final = "openai_responses"
ORIGIN: Final = "openai"
"""Whose models write the encrypted reasoning that this dialect carries: `canon.parts.Thinking.origin`."""
