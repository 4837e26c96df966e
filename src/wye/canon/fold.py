"""Events to a whole answer, and a whole answer to events. `fold(unfold(r)) == r` for every complete answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

import msgspec

from wye.canon.events import (
    ArgumentsDelta,
    Aside,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Ping,
    RefusalDelta,
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
)
from wye.canon.extras import Extras
from wye.canon.parts import Audio, Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.response import ChatResponse, Choice, Logprobs
from wye.canon.usage import Usage
from wye.kernel.errors import StreamCut, WyeError


class Fold:
    """Collects the events of one answer. `response()` is what they amount to."""

    def __init__(self) -> None:
        self._start: Start | None = None
        self._choices: dict[int, Choice] = {}
        self._texts: dict[tuple[int, int], list[str]] = {}
        self._usage: Usage | None = None
        self._extras: Extras | None = None
        self.ended = False
        self.failure: WyeError | None = None

    def add(self, event: Event) -> None:
        match event:
            case TextDelta() | ThinkingDelta() | RefusalDelta() | ArgumentsDelta():
                self._texts.setdefault((event.choice, event.index), []).append(event.text)
                if isinstance(event, TextDelta | RefusalDelta) and event.logprobs:
                    choice = self._choice(event.choice)
                    choice.logprobs = _joined_logprobs(choice.logprobs, event.logprobs)
                if isinstance(event, TextDelta | ThinkingDelta) and event.extras:
                    part = self._part(event.choice, event.index)
                    if isinstance(part, Text | Thinking):
                        part.extras = _merged(part.extras, event.extras)
            case Start():
                self._start = event
                self._usage = event.usage
            case PartStart():
                # A copy: the same event may be on its way to an encoder, or be kept by a cache.
                self._choice(event.choice).parts.append(_copy(event.part))
            case SignatureDelta():
                part = self._part(event.choice, event.index)
                if isinstance(part, Thinking):
                    part.signature = (part.signature or "") + event.signature
            case CitationDelta():
                part = self._part(event.choice, event.index)
                if isinstance(part, Text):
                    part.citations = [*part.citations, event.citation]
            case OpaqueDelta():
                self._extend(event)
            case PartEnd(part=whole):
                self._settle(event.choice, event.index)
                if whole is not None:
                    self._choice(event.choice).parts[event.index] = _copy(whole)
            case Finish():
                choice = self._choice(event.choice)
                choice.finish_reason = event.reason
                choice.stop_sequence = event.stop_sequence
                choice.extras = _merged(choice.extras, event.extras)
            case UsageReport():
                self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
                self._extras = _merged(self._extras, event.extras)
            case Aside(choice=None):
                self._extras = _merged(self._extras, event.extras)
            case Aside():
                choice = self._choice(event.choice or 0)
                choice.extras = _merged(choice.extras, event.extras)
            case Failure():
                self.failure = event.error
            case End():
                self.ended = True
            case Ping():
                pass
            case _:
                assert_never(event)

    def response(self) -> ChatResponse:
        """The answer so far. Raises StreamCut when not even its beginning came."""
        if self._start is None:
            raise StreamCut("The upstream ended the stream before it began an answer")
        for choice, index in list(self._texts):
            self._settle(choice, index)
        start = self._start
        return ChatResponse(
            id=start.id,
            model=start.model,
            created=start.created,
            choices=[self._choices[i] for i in sorted(self._choices)],
            usage=self._usage,
            service_tier=start.service_tier,
            extras=_merged(start.extras, self._extras),
        )

    def _choice(self, index: int) -> Choice:
        found = self._choices.get(index)
        if found is None:
            found = self._choices[index] = Choice(parts=[], index=index)
        return found

    def _part(self, choice: int, index: int) -> Part:
        return self._choice(choice).parts[index]

    def _extend(self, event: OpaqueDelta) -> None:
        part = self._part(event.choice, event.index)
        if isinstance(part, Opaque):
            for name, value in event.value.items():
                known = part.value.get(name)
                part.value[name] = known + value if isinstance(known, str) and isinstance(value, str) else value
        elif isinstance(part, Audio):
            more = {name: value for name, value in event.value.items() if value is not None}
            if isinstance(more.get("data"), str):
                part.data += more.pop("data")
            if isinstance(more.get("transcript"), str):
                part.transcript = (part.transcript or "") + more.pop("transcript") or None
            part.extras = _merged(part.extras, {event.dialect: more} if more else None)

    def _settle(self, choice: int, index: int) -> None:
        """Join the pieces of a text once, at its end: adding each to a string would be quadratic."""
        pieces = self._texts.pop((choice, index), None)
        if pieces is None:
            return
        part = self._part(choice, index)
        text = "".join(pieces)
        match part:
            case Text() | Thinking() | Refusal():
                part.text += text
            case ToolCall():
                part.arguments += text
            case _:
                pass


def fold(events: Iterable[Event]) -> ChatResponse:
    """A whole answer from its events. Raises the failure that ended them, StreamCut when they end too early."""
    collected = Fold()
    for event in events:
        collected.add(event)
    if collected.failure is not None:
        raise collected.failure
    if not collected.ended:
        raise StreamCut("The upstream's stream ended before the answer was complete")
    return collected.response()


def unfold(response: ChatResponse) -> list[Event]:
    """The events of a whole answer: each text in one delta, the order of parts kept."""
    events: list[Event] = [
        Start(response.id, response.model, response.created, None, response.service_tier, response.extras)
    ]
    for choice in response.choices:
        logprobs = choice.logprobs
        for index, part in enumerate(choice.parts):
            logprobs = _unfold_part(events, choice.index, index, part, logprobs)
        if choice.finish_reason is not None:
            events.append(Finish(choice.finish_reason, choice.index, choice.stop_sequence, choice.extras))
    if response.usage is not None:
        events.append(UsageReport(response.usage))
    events.append(End())
    return events


def _unfold_part(
    events: list[Event], choice: int, index: int, part: Part, logprobs: Logprobs | None
) -> Logprobs | None:
    """Append one part's events; gives back the log probabilities still to be placed (the first text takes them)."""
    replace = msgspec.structs.replace
    match part:
        case Text():
            events.append(PartStart(index, replace(part, text="", citations=[]), choice))
            if part.text or logprobs:
                events.append(TextDelta(index, part.text, choice, logprobs))
                logprobs = None
            events += [CitationDelta(index, citation, choice) for citation in part.citations]
        case Thinking():
            events.append(PartStart(index, replace(part, text="", signature=None), choice))
            if part.text:
                events.append(ThinkingDelta(index, part.text, choice))
            if part.signature is not None:
                events.append(SignatureDelta(index, part.signature, choice))
        case Refusal():
            events.append(PartStart(index, replace(part, text=""), choice))
            events.append(RefusalDelta(index, part.text, choice, logprobs))
            logprobs = None
        case ToolCall():
            events.append(PartStart(index, replace(part, arguments=""), choice))
            if part.arguments:
                events.append(ArgumentsDelta(index, part.arguments, choice))
        case _:
            events.append(PartStart(index, part, choice))
    events.append(PartEnd(index, choice))
    return logprobs


def _copy(part: Part) -> Part:
    if isinstance(part, Opaque):
        return Opaque(part.dialect, dict(part.value))
    return msgspec.structs.replace(part)


def _merged(first: Extras | None, second: Extras | None) -> Extras | None:
    if not first or not second:
        return first or second
    return {name: {**first.get(name, {}), **second.get(name, {})} for name in {**first, **second}}


def _joined_logprobs(first: Logprobs | None, second: Logprobs) -> Logprobs:
    if first is None:
        return {name: list(items) if items is not None else None for name, items in second.items()}
    joined: dict[str, list[dict[str, Any]] | None] = dict(first)
    for name, items in second.items():
        if items is not None:
            joined[name] = [*(joined.get(name) or []), *items]
    return joined
