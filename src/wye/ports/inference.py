"""Several models for one answer: how a panel is found, whom it asks through, and who hears it.

A panel sees models as names and answers as canonical events. Routing, retries, failover, limits and accounting are the
business of whoever implements `Inference`.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from wye.canon.events import Event
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.canon.tools import FunctionTool
from wye.canon.usage import Usage


class Audience(Protocol):
    """Takes an answer's events as they come."""

    def hear(self, event: Event) -> bool:
        """False: await `drained` before telling more."""
        ...

    async def drained(self) -> None: ...


class Answered(msgspec.Struct, frozen=True):
    """What one model said."""

    response: ChatResponse
    usage: Usage | None
    deployment: str
    """Who answered: `provider/model`."""
    attempts: int


class Inference(Protocol):
    """One request's way to models."""

    def window(self, model: str) -> int | None:
        """How many tokens a model holds, prompt and answer together; None if unknown.

        Raises NotFound for a name that nobody answers for, BadRequest for one that stands for several models.
        """
        ...

    async def calls_tools(self, model: str, tool: FunctionTool) -> bool:
        """Whether a model takes this tool, and can be relied on to call it, whoever of its deployments answers.

        Raises as `window` does.
        """
        ...

    def cost_micro_usd(self, model: str, usage: Usage) -> int | None:
        """What so many tokens of a model cost at most, whoever of its deployments gives them; None if unknown.

        Raises as `window` does.
        """
        ...

    async def ask(self, request: ChatRequest, audience: Audience | None = None) -> Answered:
        """Ask `request.model`, streamed where `request.stream`. The audience hears every event of the answer.

        Raises WyeError. One that breaks off after the audience has heard some of its content is raised all the same.
        """
        ...


class Panel(Protocol):
    """Models that answer together."""

    @property
    def name(self) -> str: ...

    async def answer(self, request: ChatRequest, inference: Inference, audience: Audience) -> None:
        """Tell the audience one whole answer, from Start to End, with a Ping for each step on the way.

        What the request or the panel's models rule out is raised before the first event. Raises WyeError.
        """
        ...


class Panels(Protocol):
    """Every panel that a request can ask for."""

    def named(self, model: str) -> Panel | None:
        """The panel that a model name stands for: a mode, a mode with models, a preset. None for any other name.

        Raises BadRequest for a name that begins like one and names too few models.
        """
        ...

    def asked(self, model: str, mode: str | None, task_type: str | None) -> Panel:
        """The panel for a request that names a mode, a kind of task, or both, beside its model ("" for none).

        Raises Unprocessable for an unknown mode.
        """
        ...
