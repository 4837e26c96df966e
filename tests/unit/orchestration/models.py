"""Models that say what they are told, behind the port that panels ask through."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from wye.canon.events import Event, Ping, TextDelta
from wye.canon.fold import fold, unfold
from wye.canon.parts import Part, Text, Thinking
from wye.canon.request import ChatRequest, Message
from wye.canon.response import ChatResponse, Choice, FinishReason
from wye.canon.tools import FunctionTool
from wye.canon.usage import Usage
from wye.kernel.errors import NotFound, WyeError
from wye.orchestration.panel import ModelPanel
from wye.orchestration.plan import Bounds, Candidate, wish_of_name
from wye.ports.inference import Answered, Audience

Said = str | WyeError | list[Part]


class Models:
    """Implements `ports.inference.Inference`: each model says its texts one after another, then the last again."""

    def __init__(self, windows: dict[str, int] | None = None, wait_s: float = 0, **said: Said | list[Said]) -> None:
        self.said = {name: texts if _is_many(texts) else [texts] for name, texts in said.items()}
        self.windows = windows or {}
        self.wait_s = wait_s
        self.prices: dict[str, int] = {}
        """Micro-dollars a token."""
        self.asked: list[ChatRequest] = []
        self.running = self.most_running = self.cancelled = 0
        self.all_run = asyncio.Event()
        self.finish: FinishReason = "stop"
        self.breaks_off: set[str] = set()
        """Models that fail after they have begun to speak."""

    def window(self, model: str) -> int | None:
        if model not in self.said:
            raise NotFound(f"Model '{model}' not found.")
        return self.windows.get(model)

    async def calls_tools(self, model: str, tool: FunctionTool) -> bool:
        raise AssertionError("a panel gives its members no tools of its own")

    def cost_micro_usd(self, model: str, usage: Usage) -> int | None:
        price = self.prices.get(model)
        return None if price is None else price * usage.total_tokens

    async def ask(self, request: ChatRequest, audience: Audience | None = None) -> Answered:
        self.asked.append(request)
        texts: Any = self.said[request.model]
        text = texts.pop(0) if len(texts) > 1 else texts[0]
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        if self.running == len(self.said):
            self.all_run.set()
        try:
            await asyncio.sleep(self.wait_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if isinstance(text, WyeError) and request.model not in self.breaks_off:
            raise text
        begun = "begun" if isinstance(text, WyeError) else text
        parts: list[Part] = [Text(begun)] if isinstance(begun, str) else begun
        usage = Usage(10, 2)
        response = ChatResponse(id="x", model=request.model, choices=[Choice(parts, self.finish)], usage=usage)
        if audience is not None:
            for event in unfold(response):
                if not audience.hear(event):
                    await audience.drained()
        if isinstance(text, WyeError):
            raise text
        return Answered(response, usage, f"p/{request.model}", 1)

    def prompt(self, i: int) -> str:
        """All that the i-th call was told, as one text."""
        return "\n".join(part.text for m in self.asked[i].messages for part in m.parts if isinstance(part, Text))


def _is_many(said: Any) -> bool:
    return isinstance(said, list) and not any(isinstance(each, Text | Thinking) for each in said)


class Hearer:
    """Implements `ports.inference.Audience`; slow hearers are never ready for more."""

    def __init__(self, *, slow: bool = False) -> None:
        self.events: list[Event] = []
        self.drains = 0
        self._slow = slow

    def hear(self, event: Event) -> bool:
        self.events.append(event)
        return not self._slow

    async def drained(self) -> None:
        self.drains += 1

    @property
    def response(self) -> ChatResponse:
        return fold([event for event in self.events if not isinstance(event, Ping)])

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def orchestration(self) -> dict[str, Any]:
        return (self.response.extras or {})["wye"]["orchestration"]

    @property
    def metadata(self) -> dict[str, Any]:
        return (self.response.extras or {})["wye"]["inference_metadata"]

    @property
    def progress(self) -> list[tuple[str, str, str]]:
        pings = [event.told for event in self.events if isinstance(event, Ping) and event.told]
        return [(told["step"], told["model"], told["state"]) for told in pings]


QUESTION = [Message("user", [Text("What is the capital of France?")])]


async def answered(
    name: str,
    models: Models,
    *,
    bounds: Bounds | None = None,
    at_hand: Iterable[str] = (),
    hearer: Hearer | None = None,
    messages: list[Message] | None = None,
    **settings: Any,
) -> Hearer:
    """What a caller hears of the panel of that name."""
    wish = wish_of_name(name)
    assert wish is not None
    heard = hearer or Hearer()
    panel = ModelPanel(wish, bounds or Bounds(), lambda: [Candidate(each) for each in at_hand])
    request = ChatRequest(model=name, messages=messages or QUESTION, **settings)
    await panel.answer(request, models, heard)
    return heard
