"""The name of this dialect: its key in extras, configuration and metrics."""

from typing import Final

NAME: Final = "anthropic_messages"
ORIGIN: Final = "anthropic"
"""Whose models write the signatures that this dialect carries: `canon.parts.Thinking.origin`."""
