"""What models are good for, and which kind of task asks for which: `roles.toml`."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Literal

import msgspec

Role = Literal["primary", "fast", "coder", "thinker", "longctx"]


def _read() -> dict[str, Role]:
    rows = tomllib.loads(files("wye.catalog").joinpath("roles.toml").read_text("utf-8"))
    return {task: role for role, tasks in msgspec.convert(rows, dict[Role, list[str]]).items() for task in tasks}


TASK_TYPES: dict[str, Role] = _read()


def role_for(task_type: str | None) -> Role:
    """The role whose models a task is for; a task that is not known, or none, is for `primary`."""
    return TASK_TYPES.get(task_type or "", "primary")
