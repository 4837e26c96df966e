"""Members that only one dialect knows, kept under its name: `{"anthropic_messages": {"caller": {...}}}`."""

from __future__ import annotations

from typing import Any

from wye.canon.loss import Losses, Severity

Extras = dict[str, dict[str, Any]]

BOOKKEEPING = frozenset(
    {
        "annotations",
        "billing_policy",
        "caller",
        "client_metadata",
        "completed_at",
        "defer_loading",
        "diagnostics",
        "eager_input_streaming",
        "fallback_credit_token",
        "id",
        "include",
        "inference_geo",
        "item",
        "metadata",
        "namespace",
        "obfuscation",
        "phase",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "speed",
        "status",
        "stream_options",
        "system_fingerprint",
        "user_profile_id",
        "workspace_id",
    }
)
"""Members that cannot change the answer, whichever dialect they come from: losing one is never a warning."""

OURS = "wye"
"""The name under which an answer holds members that Wye adds: every dialect says them, where it has a place at all."""

PROGRESS = "orchestration_progress"
"""The member under which a stream tells how far several models are, where its dialect has a place for it."""

FORM = "~"
"""The member that tells how its dialect spelled something, or what it only repeats: no other dialect loses anything
with it."""


def extras_of(dialect: str, rest: dict[str, Any]) -> Extras | None:
    """What a codec did not take, as extras; None when nothing is left."""
    return {dialect: rest} if rest else None


def own_extras(
    extras: Extras | None, dialect: str, losses: Losses, path: str, severity: Severity = "warning"
) -> dict[str, Any]:
    """The members that `dialect` itself left here. Those of any other dialect are reported as losses; a null says
    nothing, so nothing is lost with it."""
    if not extras:
        return {}
    for origin, members in extras.items():
        if origin in (dialect, OURS):
            continue
        for name, value in members.items():
            if value is not None and name != FORM:
                at = f"{path}.{name}" if path else name
                losses.add(at, f"{dialect} has no place for it", "info" if name in BOOKKEEPING else severity)
    own = extras.get(dialect, {})
    return {**own, **extras[OURS]} if OURS in extras else own


def joined(said: dict[str, Any], own: dict[str, Any], name: str) -> dict[str, Any]:
    """`said` with the members of own[name], which is taken out; what is no object there stays, to be said instead."""
    more = own.get(name)
    if not isinstance(more, dict):
        return said
    del own[name]
    return said | more
