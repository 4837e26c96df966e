"""The door to panels: what stands behind it is imported when a request first asks for one."""

from __future__ import annotations

from collections.abc import Callable

from wye.canon.request import ChatRequest
from wye.ports.inference import Audience, Inference, Panel, Panels


class LatePanels:
    """Implements `ports.inference.Panels`."""

    def __init__(self, load: Callable[[], Panels]) -> None:
        self._load = load
        self._panels: Panels | None = None

    def named(self, model: str) -> Panel | None:
        return self._loaded().named(model)

    def asked(self, model: str, mode: str | None, task_type: str | None) -> Panel:
        return self._loaded().asked(model, mode, task_type)

    def _loaded(self) -> Panels:
        if self._panels is None:
            self._panels = self._load()
        return self._panels


class LatePanel:
    """Implements `ports.inference.Panel`."""

    def __init__(self, name: str, load: Callable[[], Panel]) -> None:
        self.name = name
        self._load = load

    async def answer(self, request: ChatRequest, inference: Inference, audience: Audience) -> None:
        await self._load().answer(request, inference, audience)
