"""What the gateway must know of a body first: one pass over the bytes, nothing decoded twice."""

from __future__ import annotations

from typing import Any

from wye.kernel.errors import BadRequest
from wye.kernel.json import JsonError, Raw, decode, split_object, type_name


def peek(body: bytes) -> dict[str, Raw]:
    """The body's top-level members. Raises BadRequest."""
    try:
        return split_object(body)
    except JsonError as error:
        reason = str(error)
    if reason.startswith("Expected `object`"):
        raise BadRequest("The request body must be a JSON object", code="invalid_json")
    raise BadRequest(f"The request body is not valid JSON: {reason}", code="invalid_json")


def model_of(members: dict[str, Raw], default: str | None) -> str:
    """The model asked for. Raises BadRequest when there is none."""
    try:
        model = decode(members["model"])
    except (KeyError, JsonError):
        model = None
    if not isinstance(model, str):
        model = _member(members, "model", str, "a string")  # which says what is wrong with it
    if model := model or default:
        return model
    raise BadRequest("model is required: name the model that should answer. GET /v1/models lists them.", param="model")


def stream_of(members: dict[str, Raw]) -> bool:
    return bool(_member(members, "stream", bool, "a boolean"))


def take_orchestration(members: dict[str, Raw]) -> tuple[str | None, str | None]:
    """Take `orchestration_mode` and `task_type` out of a body's members. Raises BadRequest."""
    mode = _member(members, "orchestration_mode", str, "a string")
    task_type = _member(members, "task_type", str, "a string")
    members.pop("orchestration_mode", None)
    members.pop("task_type", None)
    return mode, task_type


def _member(members: dict[str, Raw], name: str, kind: type, wanted: str) -> Any:
    raw = members.get(name)
    if raw is None:
        return None
    try:
        value = decode(raw)
    except JsonError as error:
        raise BadRequest(f"{name} is not valid JSON: {error}", param=name, code="invalid_json") from None
    if value is not None and not isinstance(value, kind):
        raise BadRequest(f"{name} must be {wanted}, not {type_name(value)}", param=name)
    return value
