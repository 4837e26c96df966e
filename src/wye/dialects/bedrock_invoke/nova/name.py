"""The name of this dialect: its key in extras, configuration and metrics."""

from typing import Final

NAME: Final = "bedrock_nova"
ORIGIN: Final = "amazon"
"""Whose models write the reasoning that this dialect carries: `canon.parts.Thinking.origin`."""
