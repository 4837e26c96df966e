"""Extras of this dialect: members that only it knows, and how it spelled what others say differently."""

from __future__ import annotations

from wye.canon.extras import FORM, Extras, own_extras
from wye.canon.loss import Losses, Severity
from wye.dialects.bedrock_converse.name import NAME
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_object

OUTER = "block"
"""Where the unknown members beside a block's one known member are kept."""


def extras_with(rest: JsonObject, form: JsonObject | None = None) -> Extras | None:
    members = {**rest, FORM: form} if form else rest
    return {NAME: members} if members else None


def block_extras(inner: Fields, outer: Fields, form: JsonObject | None = None) -> Extras | None:
    """What nobody took of `{"image": {...}}`: of the inner object, and beside it."""
    rest = inner.rest()
    beside = outer.rest()
    return extras_with({**rest, OUTER: beside} if beside else rest, form)


def form_of(extras: Extras | None) -> JsonObject:
    return as_object((extras or {}).get(NAME, {}).get(FORM)) or {}


def own_members(extras: Extras | None, losses: Losses, path: str, severity: Severity = "warning") -> JsonObject:
    """The members to put back as they were; those of other dialects become losses."""
    if not extras:
        return {}
    return {name: value for name, value in own_extras(extras, NAME, losses, path, severity).items() if name != FORM}


def merged(members: JsonObject, more: JsonObject) -> JsonObject:
    """`more` put into `members`, object by object."""
    said = {**members}
    for name, value in more.items():
        here, there = as_object(said.get(name)), as_object(value)
        said[name] = value if here is None or there is None else merged(here, there)
    return said


def block(kind: str, members: JsonObject, own: JsonObject) -> JsonObject:
    """`{"image": {...}}` with the unknown members where they were."""
    own = {**own}
    beside = as_object(own.pop(OUTER, None)) or {}
    return {kind: merged(members, own) if own else members, **beside}
