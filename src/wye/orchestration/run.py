"""One orchestrated request on its way: every call to a model goes through here, within bounds, counted and told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from wye.canon.events import Aside, End, Event, Failure, Finish, PartEnd, PartStart, Ping, Start, TextDelta, UsageReport
from wye.canon.extras import OURS
from wye.canon.parts import Part, Text
from wye.canon.request import ChatRequest, Message
from wye.canon.response import ChatResponse, FinishReason
from wye.canon.usage import Usage, total_of
from wye.kernel import clock
from wye.kernel.errors import BadAnswer, BadRequest, ClockExpired, LimitExceeded, WyeError
from wye.kernel.ids import new_id
from wye.kernel.money import MICRO_USD_PER_USD, format_usd
from wye.orchestration.handoff import Handoff, begin, fit, tokens_of
from wye.orchestration.plan import Plan
from wye.orchestration.reasoning import without_reasoning
from wye.ports.inference import Audience, Inference

_NOT_FOR_STEPS: dict[str, Any] = {
    "stream": False,
    "include_usage": None,
    "tools": None,
    "tool_choice": None,
    "parallel_tool_calls": None,
    "n": None,
    "logprobs": None,
    "top_logprobs": None,
}
_NOT_FOR_CRITICS: dict[str, Any] = {"output": None, "stop": None, "verbosity": None, "logit_bias": None}


class StepCall(msgspec.Struct, omit_defaults=True):
    """One call to a model, as the answer's metadata tell it."""

    step: str
    model: str
    deployment: str | None = None
    latency_ms: int = 0
    attempts: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    error: str | None = None


class HandedOn(msgspec.Struct, omit_defaults=True):
    """One hand-over between models."""

    step: str
    to: str
    tokens: int
    """By an estimate."""
    window: int | None = None
    left_out: list[str] = msgspec.field(default_factory=list[str])


Facts = dict[str, Any]
"""What a mode tells of itself in an answer's `orchestration`."""


class Failed(msgspec.Struct, frozen=True):
    """A member that could not answer."""

    model: str
    step: str
    error: WyeError


class Run:
    """The state of one request. Raises nothing of its own but what bounds and models raise."""

    def __init__(self, plan: Plan, name: str, request: ChatRequest, inference: Inference, audience: Audience) -> None:
        self.plan = plan
        self.request = request
        self.handoff, self._media = begin(request)
        self.failed: list[Failed] = []
        self.spoken = False
        """Whether the last model has begun to speak: then nothing else can be the answer."""
        self._name = name
        self._inference = inference
        self._audience = audience
        self._started_s = clock.monotonic_s()
        self._calls: list[StepCall] = []
        self._handed: list[HandedOn] = []
        self._usages: list[Usage | None] = []
        self._reserved = 0
        """Tokens that calls under way may still use."""
        self._reserved_micro_usd = 0
        self._spent_micro_usd = 0
        self._windows = {model: inference.window(model) for model in plan.models}
        if plan.bounds.max_cost_usd is not None:
            self._demand_prices()

    def start(self) -> None:
        """Say that the answer begins. From now on what goes wrong can only end it."""
        self._audience.hear(Start(new_id("chatcmpl-"), self._name, clock.unix_s()))

    async def answer_as_asked(self, step: str, model: str, *, last: Facts | None = None) -> str:
        """Put the caller's own messages to a model, and give back its text. Raises WyeError.

        With `last` the model speaks to the caller itself, and its answer is ended with those facts. What fails then
        is raised as well: when `spoken`, the answer has broken off.
        """
        return await self._call(step, model, {"messages": self.request.messages}, "answer", last)

    async def hand_on(
        self,
        step: str,
        model: str,
        instructions: str,
        handoff: Handoff,
        *,
        kind: Literal["answer", "critic"] = "answer",
        last: Facts | None = None,
    ) -> str:
        """The same with a hand-over, fitted to the model's window. Raises WyeError, CONTEXT_BUDGET_EXCEEDED too."""
        window = self._windows[model]
        room = None if window is None else window - self._answer_tokens(window)
        fitted = fit(handoff, room, instructions)
        self._handed.append(HandedOn(step, model, fitted.tokens, window, fitted.left_out))
        said: list[Part] = [Text(fitted.text), *self._media]
        messages = [Message("system", [Text(instructions)]), Message("user", said)]
        return await self._call(step, model, {"messages": messages}, kind, last)

    async def together(self, step: str, models: Sequence[str]) -> list[tuple[str, str]]:
        """The answers of all models to the caller's own messages, asked at the same time; who fails is noted.

        Raises the worst failure when fewer than the quorum answer.
        """

        async def member(model: str) -> str | None:
            try:
                return await self.answer_as_asked(step, model)
            except WyeError as error:
                self.failed.append(Failed(model, step, error))
                return None

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(member(model)) for model in models]
        answers = [(model, text) for model, task in zip(models, tasks, strict=True) if (text := task.result())]
        quorum = self.plan.bounds.quorum or max(1, len(models) // 2)
        if len(answers) < min(quorum, len(models)):
            raise self._no_quorum(len(answers), quorum)
        return answers

    async def tell(self, text: str, reason: FinishReason, facts: Facts) -> None:
        """Say a text that is there, as the answer."""
        for event in (PartStart(0, Text("")), TextDelta(0, text), PartEnd(0)):
            await self.say(event)
        await self.finish(reason, facts)

    async def finish(self, reason: FinishReason, facts: Facts, stop_sequence: str | None = None) -> None:
        """Say how the answer came about, and its end."""
        await self.say(Aside({OURS: self._metadata(facts)}))
        await self.say(Finish(reason, 0, stop_sequence))
        if (usage := total_of(self._usages)) is not None:
            await self.say(UsageReport(usage))
        await self.say(End())

    async def _finish_as(self, response: ChatResponse, facts: Facts) -> None:
        """End as the last model ended."""
        choice = response.choices[0] if response.choices else None
        reason = choice.finish_reason if choice is not None else None
        await self.finish(reason or "stop", facts, choice.stop_sequence if choice is not None else None)

    async def say(self, event: Event) -> None:
        if not self._audience.hear(event):
            await self._audience.drained()

    async def _call(
        self, step: str, model: str, changes: dict[str, Any], kind: Literal["answer", "critic"], last: Facts | None
    ) -> str:
        asked = self._asked(model, changes, kind, last)
        final = Final(self, self._audience) if last is not None else None
        reserved, held_micro_usd = self._reserve(asked)
        call = StepCall(step, model)
        self._calls.append(call)
        self._progress("started", call)
        begun_s = clock.monotonic_s()
        try:
            async with asyncio.timeout(self._left_s()):
                answered = await self._inference.ask(asked, final)
        except TimeoutError:
            error = ClockExpired("orchestration.timeout_s", self.plan.bounds.timeout_s)
            call.error = error.message
            raise error from None
        except WyeError as error:
            call.error = error.message
            raise
        finally:
            self._reserved -= reserved
            self._reserved_micro_usd -= held_micro_usd
            call.latency_ms = round((clock.monotonic_s() - begun_s) * 1000)
            if call.error is not None:
                self._progress("failed", call)
        call.deployment, call.attempts = answered.deployment, answered.attempts
        self._usages.append(answered.usage)
        if answered.usage is not None:
            call.input_tokens, call.output_tokens = answered.usage.input_tokens, answered.usage.output_tokens
            cost = self._inference.cost_micro_usd(model, answered.usage)
            if cost is not None:
                self._spent_micro_usd += cost
                call.cost_usd = cost / MICRO_USD_PER_USD
        if last is not None:
            await self._finish_as(answered.response, last)
            return ""
        self._progress("done", call)
        text = without_reasoning(text_of(answered.response))
        if not text:
            call.error = f"'{model}' gave no text"
            raise BadAnswer(call.error)
        return text

    def _asked(self, model: str, changes: dict[str, Any], kind: str, last: Facts | None) -> ChatRequest:
        if last is None:
            changes = {**_NOT_FOR_STEPS, **(_NOT_FOR_CRITICS if kind == "critic" else {}), **changes}
            if kind == "critic" or self.request.max_tokens is None:
                changes["max_tokens"] = self._answer_tokens(self._windows[model])
        return msgspec.structs.replace(self.request, model=model, **changes)

    def _answer_tokens(self, window: int | None) -> int:
        """How many tokens of a window are left to the answer."""
        most = self.request.max_tokens or self.plan.bounds.step_max_tokens
        return most if window is None else min(most, max(1, window // 2))

    def _demand_prices(self) -> None:
        """Raises BadRequest for a model whose price nobody knows: a bound on money could not be kept."""
        for model in self.plan.models:
            if self._inference.cost_micro_usd(model, Usage(1, 1)) is None:
                raise BadRequest(
                    f"What '{model}' costs is not known, and this panel may cost max_cost_usd at most: set its price, "
                    "or ask other models",
                    param="model",
                    code="unknown_price",
                )

    def _reserve(self, asked: ChatRequest) -> tuple[int, int]:
        """The tokens and micro-dollars of one more such call. Raises LimitExceeded when they are beyond the bounds."""
        bounds = self.plan.bounds
        if len(self._calls) >= bounds.max_calls:
            raise _beyond(f"{bounds.max_calls} calls (max_calls)")
        prompt = sum(tokens_of(part.text) for m in asked.messages for part in m.parts if isinstance(part, Text))
        wanted = prompt + (asked.max_tokens or bounds.step_max_tokens)
        used = sum(usage.total_tokens for usage in self._usages if usage is not None)
        if used + self._reserved + wanted > bounds.max_tokens:
            raise _beyond(f"{bounds.max_tokens} tokens (max_tokens): {used} are used, and a step needs {wanted}")
        cost = 0
        if bounds.max_cost_usd is not None:
            cost = self._inference.cost_micro_usd(asked.model, Usage(prompt, wanted - prompt)) or 0
            if self._spent_micro_usd + self._reserved_micro_usd + cost > bounds.max_cost_usd * MICRO_USD_PER_USD:
                spent, more = format_usd(self._spent_micro_usd), format_usd(cost)
                raise _beyond(f"${bounds.max_cost_usd:g} (max_cost_usd): {spent} is spent, and a step may cost {more}")
        self._reserved += wanted
        self._reserved_micro_usd += cost
        return wanted, cost

    def _left_s(self) -> float:
        return max(0.0, self._started_s + self.plan.bounds.timeout_s - clock.monotonic_s())

    def _progress(self, state: str, call: StepCall) -> None:
        told: dict[str, Any] = {
            "mode": self.plan.mode,
            "step": call.step,
            "model": call.model,
            "state": state,
            "elapsed_ms": self._elapsed_ms(),
        }
        self._audience.hear(Ping(told | ({"error": call.error} if call.error else {})))

    def _elapsed_ms(self) -> int:
        return round((clock.monotonic_s() - self._started_s) * 1000)

    def _no_quorum(self, answered: int, quorum: int) -> WyeError:
        worst = max((failed.error for failed in self.failed), key=lambda error: error.status)
        reasons = "; ".join(f"{failed.model}: {failed.error.message}" for failed in self.failed)
        message = f"{answered} of {len(self.plan.models)} models answered, and {quorum} must: {reasons}"
        return WyeError(message[:2000], status=worst.status, code=worst.code)

    def _metadata(self, facts: Facts) -> dict[str, Any]:
        used = [call.model for call in self._calls if call.error is None]
        orchestration: dict[str, Any] = {
            "mode": self.plan.mode,
            "models_used": list(dict.fromkeys(used)),
            "total_inference_time_ms": self._elapsed_ms(),
            **facts,
        }
        if self.failed:
            orchestration["failed"] = [
                {"model": each.model, "step": each.step, "reason": each.error.message} for each in self.failed
            ]
        return {
            "orchestration": orchestration,
            "inference_metadata": {
                "calls": msgspec.to_builtins(self._calls),
                "handoff_steps": len(self._handed),
                "compression_applied": any(handed.left_out for handed in self._handed),
                "handoffs": msgspec.to_builtins(self._handed),
            },
        }


class Final:
    """Implements `Audience` for the model whose answer is the answer: its content goes on, its end is kept back until
    the panel has told how it came about."""

    def __init__(self, run: Run, audience: Audience) -> None:
        self._run = run
        self._audience = audience
        self.drained = audience.drained

    def hear(self, event: Event) -> bool:
        if isinstance(event, Start | Finish | UsageReport | Aside | End | Failure | Ping):
            return True
        self._run.spoken = True
        return self._audience.hear(event)


def text_of(response: ChatResponse) -> str:
    parts = response.choices[0].parts if response.choices else []
    return "".join(part.text for part in parts if isinstance(part, Text))


def _beyond(what: str) -> LimitExceeded:
    return LimitExceeded(f"An orchestrated request may use {what}", code="orchestration_limit", status=400)
