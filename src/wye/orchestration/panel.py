"""Panels: what a request or a model's name asks for, made into one answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable

from wye.canon.request import ChatRequest
from wye.catalog.presets import Mode
from wye.kernel.errors import BadRequest
from wye.orchestration.critique import critique
from wye.orchestration.debate import debate
from wye.orchestration.ensemble import ensemble
from wye.orchestration.pipeline import pipeline
from wye.orchestration.plan import Bounds, Candidate, Wish, wish_of_name, wish_of_request
from wye.orchestration.run import Run
from wye.orchestration.single import single
from wye.ports.inference import Audience, Inference

_FLOWS: dict[Mode, Callable[[Run], Awaitable[None]]] = {
    "single": single,
    "critique": critique,
    "debate": debate,
    "ensemble": ensemble,
    "pipeline": pipeline,
}
AtHand = Callable[[], Iterable[Candidate]]
DemandRoom = Callable[[Collection[str]], None]
"""Raises OutOfMemory when models cannot be loaded together."""


def _any_room(models: Collection[str]) -> None:
    """Remote models take none."""


class ModelPanel:
    """Implements `ports.inference.Panel`."""

    def __init__(self, wish: Wish, bounds: Bounds, at_hand: AtHand, demand_room: DemandRoom = _any_room) -> None:
        """`at_hand` gives the models that make up the number where the wish names too few."""
        self._wish = wish
        self._bounds = bounds
        self._at_hand = at_hand
        self._demand_room = demand_room

    @property
    def name(self) -> str:
        return self._wish.name

    async def answer(self, request: ChatRequest, inference: Inference, audience: Audience) -> None:
        plan = self._wish.plan(self._bounds, self._at_hand)
        if plan.mode != "single":
            _refuse(request, plan.mode)
        self._demand_room(plan.models)
        run = Run(plan, self.name, request, inference, audience)
        run.start()
        await _FLOWS[plan.mode](run)


class ModelPanels:
    """Implements `ports.inference.Panels`."""

    def __init__(self, bounds: Bounds, at_hand: AtHand, demand_room: DemandRoom = _any_room) -> None:
        self._bounds = bounds
        self._at_hand = at_hand
        self._demand_room = demand_room

    def named(self, model: str) -> ModelPanel | None:
        wish = wish_of_name(model)
        return None if wish is None else ModelPanel(wish, self._bounds, self._at_hand, self._demand_room)

    def asked(self, model: str, mode: str | None, task_type: str | None) -> ModelPanel:
        return ModelPanel(wish_of_request(model, mode, task_type), self._bounds, self._at_hand, self._demand_room)


def _refuse(request: ChatRequest, mode: Mode) -> None:
    """What several models cannot answer together. Raises BadRequest."""
    if request.tools and (request.tool_choice is None or request.tool_choice.mode != "none"):
        raise BadRequest(
            f"tools cannot be used with {mode}: several models would each call them, or answer without. Give them to "
            "one model, and let the panel answer in words.",
            param="tools",
            code="unsupported_with_orchestration",
        )
    if request.n is not None and request.n > 1:
        raise BadRequest(
            f"n must be 1 with {mode}, which makes one answer of several",
            param="n",
            code="unsupported_with_orchestration",
        )
