"""Members that only one dialect knows, kept under its name: `{"anthropic_messages": {"caller": {...}}}`."""

from __future__ import annotations

from typing import Any

from wye.canon.loss import Losses, Severity

Extras = dict[str, dict[str, Any]]


def extras_of(dialect: str, rest: dict[str, Any]) -> Extras | None:
    """What a codec did not take, as extras; None when nothing is left."""
    return {dialect: rest} if rest else None


def own_extras(
    extras: Extras | None, dialect: str, losses: Losses, path: str, severity: Severity = "warning"
) -> dict[str, Any]:
    """The members that `dialect` itself left here. Those of any other dialect are reported as losses."""
    if not extras:
        return {}
    for origin, members in extras.items():
        if origin == dialect:
            continue
        for name in members:
            at = f"{path}.{name}" if path else name
            losses.add(at, f"{dialect} has no place for it", severity)
    return extras.get(dialect, {})
