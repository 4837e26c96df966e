"""What is handed on between models: agreement, reasoning, hand-overs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.orchestration.models import Models, answered
from wye.canon.parts import Text, ToolCall, ToolResult
from wye.canon.request import ChatRequest, Message
from wye.kernel.errors import BadRequest
from wye.orchestration.agreement import agreement, disagreements, mean_agreement, most_agreed
from wye.orchestration.handoff import Handoff, Section, begin, fit, notes_of, tokens_of
from wye.orchestration.reasoning import without_reasoning


@pytest.mark.parametrize(
    ("first", "second", "score"),
    [
        ("Paris is the capital", "The capital is PARIS!", 1.0),
        ("Paris", "Lyon", 0.0),
        ("The answer is 4", "The answer is 5", 0.5),
        ("yes", "Yes.", 1.0),
        ("yes", "no", 0.0),
        ("", "", 1.0),
        ("", "word", 0.0),
        ("巴黎是首都", "首都是巴黎", 1.0),
        ("東京", "京都", 0.5),
        ("größer", "GRÖSSER", 1.0),
    ],
)
def test_answers_agree_by_their_words(first: str, second: str, score: float) -> None:
    assert agreement(first, second) == agreement(second, first) == score


@settings(max_examples=50, derandomize=True)
@given(st.text(), st.text())
def test_agreement_is_a_share(first: str, second: str) -> None:
    assert 0 <= agreement(first, second) <= 1
    assert agreement(first, first) == 1


def test_of_several_texts() -> None:
    texts = ["alpha beta", "alpha beta gamma", "delta"]
    assert mean_agreement(texts) == pytest.approx(0.8 / 3)
    assert mean_agreement(["alone"]) == 1
    assert most_agreed(texts) == 0
    assert most_agreed(["delta", "alpha beta", "alpha beta"]) == 1
    apart = disagreements(list(zip("abc", texts, strict=True)))
    assert [(each.models, each.agreement) for each in apart] == [(["a", "c"], 0.0), (["b", "c"], 0.0)]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("plain", "plain"),
        ("<think>a</think>b", "b"),
        ("a <THINK>b</Think> c", "a  c"),
        ("<think>a<think>b</think>c</think>d", "d"),
        ("opened by the template</think>\nanswer", "answer"),
        ("never ends <think>x", "never ends"),
        ("<think>only", ""),
        ("Use `</think>` to end a thought", "Use `</think>` to end a thought"),
        ("<reasoning>a</reasoning>b<scratchpad>c</scratchpad>", "b"),
        ("a < think > b", "a < think > b"),
    ],
)
def test_reasoning_is_left_out(said: str, kept: str) -> None:
    assert without_reasoning(said) == kept


def test_many_open_tags_cost_no_time() -> None:
    assert without_reasoning("<think>" * 200_000) == ""


def handoff(**members: list[str] | str) -> Handoff:
    return Handoff(**{"goal": "goal", "step": "step", "constraints": ["be brief"], **members})  # type: ignore[arg-type]


def test_a_handover_that_fits_is_said_whole() -> None:
    fitted = fit(handoff(decisions=["metres"], open_errors=["year"], work=[Section("Draft", "text")]), 1000, "do")
    assert fitted.text == (
        "# Constraints\nbe brief\n\n# Decisions\n- metres\n\n# Open problems\n- year\n\n# Draft\ntext\n\n"
        "# Goal\ngoal\n\n# Your step\nstep"
    )
    assert fitted.left_out == []
    assert fit(handoff(), None, "do").tokens == fit(handoff(), 10_000, "do").tokens


LONG = handoff(
    context=[
        "user: " + "Tell me. " * 40,
        "assistant: Yes.\n\n" + "It is so. " * 40 + "\n\nLet me know if you need more than this.",
    ],
    decisions=["metres"],
    open_errors=["year"],
    work=[Section("Draft", "Certainly!\n\nThe text.\n\nThe text.\n\n---\n\nIts end.\n\nI hope this helps you.")],
)


@pytest.mark.parametrize(
    ("room", "left_out"),
    [
        (1000, []),
        (401, ["verbose context"]),
        (390, ["verbose context", "verbose work"]),
        (150, ["verbose context", "verbose work", "context beyond first sentences"]),
        (130, ["verbose context", "verbose work", "context beyond first sentences", "context"]),
    ],
)
def test_the_verbose_goes_first_and_what_matters_never(room: int, left_out: list[str]) -> None:
    fitted = fit(LONG, room, "")
    assert fitted.left_out == left_out
    assert fitted.tokens <= room
    for kept in ("goal", "be brief", "metres", "year", "The text.", "Its end.", "step"):
        assert kept in fitted.text


def test_what_cannot_fit_is_an_error() -> None:
    with pytest.raises(BadRequest, match="room for about 100 tokens") as caught:
        fit(LONG, 100, "")
    assert caught.value.code == "CONTEXT_BUDGET_EXCEEDED"
    assert caught.value.details is not None
    assert caught.value.details["room_tokens"] == 100


async def test_a_window_that_is_too_small_ends_a_pipeline_with_what_it_has() -> None:
    models = Models({"b": 200}, a="long " * 300, b="x")
    heard = await answered("pipeline:a+b", models)
    assert heard.text.startswith("long long")
    assert heard.orchestration["partial"] is True
    assert "room for about 100 tokens" in heard.orchestration["reason"]


async def test_compression_is_reported() -> None:
    messages = [Message("user", [Text("Well. " * 400)]), Message("assistant", [Text("So.")])]
    messages.append(Message("user", [Text("And now?")]))
    heard = await answered("pipeline:a+b", Models({"b": 700}, a="draft", b="x"), messages=messages)
    assert heard.metadata["compression_applied"] is True
    [handed] = heard.metadata["handoffs"]
    assert handed["left_out"] == ["verbose context", "context beyond first sentences"]
    assert handed["tokens"] <= 350


def test_tokens_are_estimated_by_bytes() -> None:
    assert [tokens_of(text) for text in ("", "abc", "abcd", "東京")] == [0, 1, 2, 2]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("text", ("text", [], [])),
        ("text\nDECISION: one\n- OPEN: two", ("text", ["one"], ["two"])),
        ("**DECISION:** one", ("", ["one"], [])),
        ("The DECISION: stays", ("The DECISION: stays", [], [])),
    ],
)
def test_notes_are_taken_out(said: str, expected: tuple[str, list[str], list[str]]) -> None:
    assert notes_of(said) == expected


def test_calls_of_tools_in_the_conversation_are_told_as_text() -> None:
    messages = [
        Message("user", [Text("Weather?")]),
        Message("assistant", [ToolCall("1", "look", '{"at":"Paris"}')]),
        Message("user", [ToolResult("1", [Text("sunny")])]),
        Message("user", [Text("Thanks. And now?")]),
    ]
    begun, others = begin(ChatRequest(model="m", messages=messages))
    assert begun.goal == "Thanks. And now?"
    assert begun.context == [
        "user: Weather?",
        'assistant: [called look with {"at":"Paris"}]',
        "user: [result: sunny]",
    ]
    assert others == []


def test_a_request_without_a_question_has_an_empty_goal() -> None:
    begun, _ = begin(ChatRequest(model="m", messages=[Message("assistant", [Text("Hello")])]))
    assert begun.goal == ""
