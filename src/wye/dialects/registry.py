"""The dialects by name. A new wire format is one folder and one line here."""

from __future__ import annotations

from wye.dialects.anthropic_messages import DIALECT as ANTHROPIC_MESSAGES
from wye.dialects.dialect import Dialect
from wye.dialects.openai_chat import DIALECT as OPENAI_CHAT

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (OPENAI_CHAT, ANTHROPIC_MESSAGES)}
