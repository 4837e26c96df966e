"""What a model may call, and whether it must."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from wye.canon.extras import Extras
from wye.canon.parts import CacheMark


class FunctionTool(msgspec.Struct, tag="function"):
    name: str
    description: str | None = None
    schema: dict[str, Any] | None = None
    """JSON Schema of the arguments; None means no arguments."""
    strict: bool | None = None
    cache: CacheMark | None = None
    extras: Extras | None = None


class CustomTool(msgspec.Struct, tag="custom"):
    """A tool whose input is free text, perhaps bound by a grammar."""

    name: str
    description: str | None = None
    format: dict[str, Any] | None = None
    extras: Extras | None = None


class NativeTool(msgspec.Struct, tag="native"):
    """A tool that the provider runs (`web_search_20250305`, `code_execution_20260120`, ...)."""

    dialect: str
    value: dict[str, Any]

    @property
    def type(self) -> str:
        return str(self.value.get("type", ""))


Tool = FunctionTool | CustomTool | NativeTool


class ToolChoice(msgspec.Struct):
    """`required` means any tool, `named` means the one in `name`."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None
    allowed: list[str] | None = None
    """Only these may be called; None for all."""
    extras: Extras | None = None
