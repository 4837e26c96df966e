"""From what a request asks for to a plan: which mode, which models, within which bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import get_args

import msgspec

from wye.catalog.presets import PRESETS, Mode
from wye.catalog.roles import role_for
from wye.kernel.errors import BadRequest, Unprocessable

MODES: tuple[Mode, ...] = get_args(Mode)
NEEDED: dict[Mode, int] = {"single": 1, "critique": 2, "debate": 2, "ensemble": 2, "pipeline": 2}
_TAKEN: dict[Mode, int] = {"single": 1, "critique": 2, "debate": 2, "ensemble": 3, "pipeline": 3}
"""How many models a mode takes from those at hand, where it is not told which."""
_MOST_MODELS = 16


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one request may use."""

    max_rounds: int = 2
    max_calls: int = 16
    max_tokens: int = 200_000
    max_cost_usd: float | None = None
    timeout_s: float = 600.0
    step_max_tokens: int = 1024
    quorum: int | None = None


class Candidate(msgspec.Struct, frozen=True):
    """A model at hand, and what it is good for."""

    model: str
    roles: Sequence[str] = ()


class Plan(msgspec.Struct, frozen=True):
    mode: Mode
    models: list[str]
    """In critique the first writes and the others criticise in turn; in debate and ensemble the first also joins the
    answers; a pipeline runs in this order."""
    bounds: Bounds


class Wish(msgspec.Struct, frozen=True):
    """What is asked for, before it is known which models are at hand."""

    name: str
    mode: Mode
    models: tuple[str, ...] = ()
    task_type: str | None = None
    complete: bool = True
    """Whether the models named are all; else those at hand make up the number."""

    def plan(self, bounds: Bounds, at_hand: Callable[[], Iterable[Candidate]]) -> Plan:
        """Raises BadRequest for too few models, for too many, and where the bounds allow too few calls."""
        models = list(dict.fromkeys(self.models))
        needed = NEEDED[self.mode]
        if not (models and self.complete):
            others = [each for each in at_hand() if each.model not in models]
            role = role_for(self.task_type)
            others.sort(key=lambda each: role not in each.roles)  # stable: else in the order they are known
            models += [each.model for each in others][: max(0, _TAKEN[self.mode] - len(models))]
        if len(models) < needed:
            there = f" ({', '.join(models)})" if models else ""
            raise BadRequest(
                f"{self.mode} needs {needed} models, and {len(models)} "
                f"{'is' if len(models) == 1 else 'are'} there{there}: name them as '{self.mode}:MODEL+MODEL', "
                "load more (POST /v1/models/MODEL/load), or set orchestration.models",
                param="model",
                code="too_few_models",
                details={"needed": needed, "available": len(models), "models": models},
            )
        if len(models) > _MOST_MODELS:
            raise BadRequest(f"'{self.name[:200]}' names {len(models)} models: at most {_MOST_MODELS}", param="model")
        if self.mode == "single" and len(models) > 1:
            raise BadRequest(f"single asks one model, and '{self.name[:200]}' names {len(models)}", param="model")
        calls = fewest_calls(self.mode, len(models))
        if calls > bounds.max_calls:
            raise BadRequest(
                f"{self.mode} with {len(models)} models takes {calls} calls, and a request may make "
                f"{bounds.max_calls} (max_calls)",
                param="model",
                code="too_many_calls",
            )
        return Plan(self.mode, models, bounds)


def fewest_calls(mode: Mode, models: int) -> int:
    match mode:
        case "debate" | "ensemble":
            return models + 1
        case "critique":
            return 2
        case "single" | "pipeline":
            return models


def wish_of_name(name: str) -> Wish | None:
    """The wish that a model's name stands for: `critique`, `debate:phi-4+qwen2.5-7b`, `D3`. None for any other name."""
    if preset := PRESETS.get(name):
        return Wish(name, preset.mode, preset.models)
    mode, colon, rest = name.partition(":")
    known = as_mode(mode)
    if known is None:
        return None
    return Wish(name, known, members_of(rest) if colon else ())


def wish_of_request(model: str, mode: str | None, task_type: str | None) -> Wish:
    """The wish of a request that names a mode or a kind of task beside its model. Raises Unprocessable, BadRequest."""
    known = as_mode(mode) if mode is not None else None
    if mode is not None and known is None:
        raise Unprocessable(
            f"orchestration_mode {mode[:100]!r} is unknown: there are {', '.join(MODES)}",
            param="orchestration_mode",
            code="unknown_orchestration_mode",
        )
    wish = wish_of_name(model) if model else None
    if wish is not None:
        if known is not None and known != wish.mode:
            raise BadRequest(
                f"The model '{model[:200]}' is a {wish.mode}, and orchestration_mode asks for {known}: say one of them",
                param="orchestration_mode",
            )
        return msgspec.structs.replace(wish, task_type=task_type)
    members = members_of(model) if model else ()
    return Wish(model or known or "single", known or "single", members, task_type, complete=len(members) > 1)


def members_of(text: str) -> tuple[str, ...]:
    """`a+b` as its names. Raises BadRequest for an empty one."""
    members = tuple(member.strip() for member in text.split("+"))
    if not all(members):
        raise BadRequest(f"'{text[:200]}' names no model between its plus signs", param="model")
    return members


def as_mode(text: str) -> Mode | None:
    return next((mode for mode in MODES if mode == text), None)
