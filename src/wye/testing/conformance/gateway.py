"""A gateway in front of the fake provider: is what callers ask and upstreams answer carried, in every pair of formats,
and what becomes of an upstream's faults?

The fake knows what it was asked and what it answered, so nothing has to be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from wye.kernel.json import encode_text
from wye.testing.conformance.callers import CALLERS, Caller, Heard, Question
from wye.testing.conformance.check import Check, NotServed, demand
from wye.testing.conformance.openai import check_person
from wye.testing.conformance.target import Answer, Target
from wye.testing.fake_provider import FakeProvider

_COUNTED = "1, 2, 3, 4, 5"
_SYSTEM = "You are called Hal-9."


def gateway_checks(provider: FakeProvider, upstreams: Iterable[tuple[str, str]]) -> Iterator[Check]:
    """`upstreams`: a label for each model that the gateway answers from the fake, and the model's name."""
    for label, model in upstreams:
        for caller in CALLERS:
            area = f"{caller.name} → {label}"
            for stream in (False, True):
                way = "streamed" if stream else "whole"
                for feature, run in _FEATURES.items():
                    yield Check(area, way, feature, _fidelity(provider, caller, model, stream, run))
            for spec, (name, judge) in _FAULTS.items():
                yield Check(area, "faults", name, _fault(provider, caller, model, spec, judge))


Feature = Callable[[Callable[..., Heard], FakeProvider, Caller], None]


def _fidelity(
    provider: FakeProvider, caller: Caller, model: str, stream: bool, feature: Feature
) -> Callable[[Target], None]:
    def run(target: Target) -> None:
        def ask(**members: object) -> Heard:
            answer = caller.ask(target, model, Question(stream=stream, **members))  # type: ignore[arg-type]
            _demand_served(answer)
            heard = caller.hear(answer, stream)
            demand(not heard.errors, f"an error was heard: {heard.errors[:1]}")
            demand(heard.complete, "the answer does not end as a whole one does")
            return heard

        provider.forget()
        feature(ask, provider, caller)

    return run


def _demand_served(answer: Answer) -> None:
    if answer.status in (404, 405, 501) and b"model" not in answer.body.lower():
        raise NotServed(f"the gateway answers {answer.status}: it does not have this path")


def _text(ask: Callable[..., Heard], provider: FakeProvider, caller: Caller) -> None:
    said = ask().text
    demand(said == _COUNTED, f"the upstream said {_COUNTED!r}, the caller heard {said[:80]!r}")


def _usage(ask: Callable[..., Heard], provider: FakeProvider, caller: Caller) -> None:
    tokens = ask().tokens
    demand(tokens == (9, 5), f"the upstream counted (9, 5) tokens, the caller heard {tokens}")


def _system(ask: Callable[..., Heard], provider: FakeProvider, caller: Caller) -> None:
    ask(system=_SYSTEM)
    demand(_SYSTEM in encode_text(provider.calls[-1].body), "the system prompt did not reach the upstream")


def _length(ask: Callable[..., Heard], provider: FakeProvider, caller: Caller) -> None:
    heard = ask(limit=16, text="Count from 1 to 60")
    demand(heard.reason == caller.length, f"the reason must be {caller.length}, and is {heard.reason!r}")
    demand(len(heard.text.split()) == 16, f"16 tokens were allowed, and the caller heard {heard.text[:80]!r}")


def _call(ask: Callable[..., Heard], provider: FakeProvider, caller: Caller) -> None:
    calls = ask(text="Hello", tool=True).calls  # only tool_choice demands a call
    demand(
        calls == [("get_weather", {"city": "city"})], f"the upstream called get_weather once, the caller heard {calls}"
    )


def _result(ask: Callable[..., Heard], provider: FakeProvider, caller: Caller) -> None:
    said = ask(text="The weather in Paris?", result="Sunny").text
    demand(said == "The tool says: Sunny", f"the upstream was not told the tool's result: it said {said[:80]!r}")


def _schema(ask: Callable[..., Heard], provider: FakeProvider, caller: Caller) -> None:
    check_person(ask(text="Invent a person.", schema=True).text)


_FEATURES: dict[str, Feature] = {
    "text": _text,
    "usage": _usage,
    "system prompt": _system,
    "max_tokens": _length,
    "tool call": _call,
    "tool result": _result,
    "JSON schema": _schema,
}

Judge = Callable[[Answer, Heard], None]


def _fault(provider: FakeProvider, caller: Caller, model: str, spec: str, judge: Judge) -> Callable[[Target], None]:
    def run(target: Target) -> None:
        provider.fault = spec
        try:
            answer = caller.ask(target, model, Question(stream=True, text="Count from 1 to 60"))
            _demand_served(answer)
            judge(answer, caller.hear(answer, True))
        finally:
            provider.fault = None
            provider.forget()

    return run


def _is_error(answer: Answer, heard: Heard) -> None:
    whole = len(heard.text.split()) == 60
    demand(not (heard.complete and not whole), f"a short answer looks complete: {heard.text[:60]!r}")
    demand(answer.status >= 400 or bool(heard.errors), "nothing tells the caller that the answer broke off")


def _is_whole(answer: Answer, heard: Heard) -> None:
    demand(answer.status == 200, f"the status is {answer.status}: {answer.body[:120]!r}")
    demand(heard.complete and not heard.errors, f"the answer does not end as a whole one does: {heard.errors[:1]}")
    demand(len(heard.text.split()) == 60, f"the caller heard {heard.text[-60:]!r}")


def _is_refusal(answer: Answer, heard: Heard) -> None:
    demand(answer.status in (400, 413, 422), f"the upstream refused with 400, the caller gets {answer.status}")
    demand(b"long" in answer.body or b"context" in answer.body, f"the reason is not passed on: {answer.body[:120]!r}")


_FAULTS: dict[str, tuple[str, Judge]] = {
    "503": ("503 is an error", _is_error),
    "503-once": ("503 once is tried again", _is_whole),
    "reset": ("a reset is an error", _is_error),
    "cut": ("a cut stream is an error", _is_error),
    "truncated": ("a stream that ends early is an error", _is_error),
    "error-within": ("an error within a stream is passed on", _is_error),
    "error-first": ("an error as the first event is an error", _is_error),
    "error-in-200": ("an error in a 200 is an error", _is_error),
    "html": ("a page for people is an error", _is_error),
    "empty": ("an empty answer is an error", _is_error),
    "context-length": ("a refusal is passed on with its reason", _is_refusal),
    "no-terminator": ("a whole stream without its last frame is whole", _is_whole),
    "drip": ("a byte at a time is whole", _is_whole),
}
