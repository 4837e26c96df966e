"""The five modes, over models that say what they are told."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.orchestration.models import QUESTION, Hearer, Models, answered
from wye.canon.events import End, Finish, Start
from wye.canon.parts import Base64, Image, Text, Thinking
from wye.canon.request import Message, OutputFormat
from wye.canon.tools import FunctionTool, ToolChoice
from wye.kernel.errors import BadAnswer, BadRequest, ClockExpired, ConnectFailed, LimitExceeded, NotFound, WyeError
from wye.orchestration.critique import issues_in
from wye.orchestration.pipeline import stages_of
from wye.orchestration.plan import Bounds

CLEAN = "NO ISSUES FOUND"
FAULTY = "ISSUES FOUND\n- Lyon is wrong\n- too short"


async def test_single_asks_one_model_in_the_callers_own_words() -> None:
    models = Models(a="Paris")
    heard = await answered("single:a", models, temperature=0.5, tools=[FunctionTool("look")])
    assert heard.text == "Paris"
    assert heard.orchestration | {"total_inference_time_ms": 0} == {
        "mode": "single",
        "models_used": ["a"],
        "total_inference_time_ms": 0,
    }
    [asked] = models.asked
    assert (asked.messages, asked.temperature, asked.tools) == (QUESTION, 0.5, [FunctionTool("look")])


async def test_critique_revises_until_nothing_is_found() -> None:
    models = Models(a=["Lyon", "Paris"], b=[FAULTY, CLEAN])
    heard = await answered("critique:a+b", models)
    assert heard.text == "Paris"
    assert heard.orchestration["rounds"] == 2
    assert heard.orchestration["final_score"] == 1.0
    assert heard.orchestration["models_used"] == ["a", "b"]
    assert heard.response.usage is not None
    assert (heard.response.usage.input_tokens, heard.response.usage.output_tokens) == (40, 8)
    assert [call["step"] for call in heard.metadata["calls"]] == ["generate", "critique", "revise", "critique"]
    assert "Lyon is wrong" in models.prompt(2)
    assert "What is the capital of France?" in models.prompt(1)


async def test_the_last_revision_speaks_for_itself() -> None:
    models = Models(a=["Lyon", "Marseille", "Paris"], b=FAULTY)
    models.finish = "length"
    heard = await answered("critique:a+b", models, stream=True)
    assert heard.text == "Paris"
    assert [asked.stream for asked in models.asked] == [False, False, False, False, True]
    assert heard.response.choices[0].finish_reason == "length"
    assert heard.orchestration["rounds"] == 2
    assert heard.orchestration["final_score"] == 0.333


async def test_several_critics_take_turns() -> None:
    models = Models(a="x", b=FAULTY, c=FAULTY)
    await answered("critique:a+b+c", models)
    assert [asked.model for asked in models.asked] == ["a", "b", "a", "c", "a"]


@pytest.mark.parametrize(
    ("said", "issues"),
    [
        (CLEAN, 0),
        ("**No issues found.**", 0),
        ("ISSUES FOUND\n- one\n- two", 2),
        ("ISSUES FOUND\n1. one\n2) two\n3. three", 3),
        ("No issues found in the code, but ISSUES FOUND:\n* one", 1),
        ("It is bad", 1),
    ],
    ids=["clean", "clean in other words", "a list", "numbered", "both", "a complaint"],
)
def test_a_review_names_issues(said: str, issues: int) -> None:
    assert issues_in(said) == issues


@pytest.mark.parametrize("failing", ["b", "a"], ids=["the critic", "the reviser"])
async def test_a_draft_survives_what_fails_after_it(failing: str) -> None:
    models = Models(a=["Lyon", ConnectFailed("away")], b=FAULTY if failing == "a" else ConnectFailed("away"))
    heard = await answered("critique:a+b", models)
    assert heard.text == "Lyon"
    assert heard.orchestration["partial"] is True
    assert heard.orchestration["reason"] == "away"
    assert heard.orchestration["failed"] == [
        {"model": failing, "step": "critique" if failing == "b" else "revise", "reason": "away"}
    ]
    assert heard.response.choices[0].finish_reason == "length"


async def test_debate_asks_all_at_once_and_the_first_joins_them() -> None:
    models = Models(a=["It is Paris", "Paris."], b="Paris it is", wait_s=0.01)
    heard = await answered("debate:a+b", models)
    assert heard.text == "Paris."
    assert models.most_running == 2
    assert heard.orchestration["agreement_score"] == 1.0
    assert heard.orchestration["confidence"] == 1.0
    assert "It is Paris" in models.prompt(2)
    assert "Paris it is" in models.prompt(2)
    assert models.asked[2].model == "a"
    assert heard.progress == [
        ("answer", "a", "started"),
        ("answer", "b", "started"),
        ("answer", "a", "done"),
        ("answer", "b", "done"),
        ("reconcile", "a", "started"),
    ]


async def test_a_member_that_fails_is_named_and_the_rest_answers() -> None:
    models = Models(a=ConnectFailed("away"), b=["Paris", "Paris!"], c="Paris")
    heard = await answered("debate:a+b+c", models)
    assert heard.text == "Paris!"
    assert heard.orchestration["models_used"] == ["b", "c"]
    assert heard.orchestration["failed"] == [{"model": "a", "step": "answer", "reason": "away"}]
    assert heard.orchestration["confidence"] == 0.667
    assert models.asked[-1].model == "b"
    assert ("answer", "a", "failed") in heard.progress


async def test_a_single_answer_needs_nobody_to_join_it() -> None:
    heard = await answered("ensemble:a+b", Models(a=ConnectFailed("away"), b="Paris"))
    assert heard.text == "Paris"
    assert heard.orchestration["agreement_score"] is None
    assert heard.response.choices[0].finish_reason == "stop"


async def test_without_a_quorum_there_is_no_answer() -> None:
    models = Models(a=ConnectFailed("away"), b=BadRequest("too long"), c="Paris")
    with pytest.raises(WyeError, match="1 of 3 models answered, and 2 must: a: away; b: too long") as caught:
        await answered("ensemble:a+b+c", models, bounds=Bounds(quorum=2))
    assert caught.value.status == 502


async def test_what_every_model_refuses_is_the_callers_fault() -> None:
    models = Models(a=BadRequest("too long"), b=BadRequest("no images", code="unsupported_content"))
    with pytest.raises(WyeError, match="0 of 2 models answered, and 1 must: a: too long; b: no images") as caught:
        await answered("ensemble:a+b", models)
    assert caught.value.status == 400


async def test_an_ensemble_is_told_the_consensus_and_who_is_apart() -> None:
    same = "Paris has been the capital for centuries"
    models = Models(a=[same, "joined"], b=same, c="Quantum chromodynamics describes gluons")
    heard = await answered("ensemble:a+b+c", models)
    assert heard.text == "joined"
    assert heard.orchestration["agreement_score"] == 0.333
    assert heard.orchestration["disagreements"] == [
        {"models": ["a", "c"], "agreement": 0.0},
        {"models": ["b", "c"], "agreement": 0.0},
    ]
    assert "Those of models 1 and 3 have little in common." in models.prompt(3)
    assert "agree by 33%" in models.prompt(3)


@pytest.mark.parametrize("mode", ["debate", "ensemble"])
async def test_where_the_joining_fails_the_most_agreed_answer_stands(mode: str) -> None:
    models = Models(a=["Berlin maybe", BadAnswer("broken")], b="Paris certainly", c="certainly Paris")
    heard = await answered(f"{mode}:a+b+c", models)
    assert heard.text == "Paris certainly"
    assert heard.orchestration["partial"] is True
    assert heard.orchestration["reason"] == "broken"


async def test_a_pipeline_hands_on_text_decisions_and_open_problems() -> None:
    models = Models(a="draft", b="refined\nDECISION: use metres\nOPEN: the year is unsure", c="valid")
    heard = await answered("pipeline:a+b+c", models)
    assert heard.text == "valid"
    assert heard.orchestration["completed_steps"] == heard.orchestration["total_steps"] == 3
    assert heard.orchestration["partial"] is False
    assert heard.metadata["handoff_steps"] == 2
    assert heard.metadata["compression_applied"] is False
    assert "# Decisions\n- use metres" in models.prompt(2)
    assert "# Open problems\n- the year is unsure" in models.prompt(2)
    assert "# Text in hand\nrefined\n" in models.prompt(2)


@pytest.mark.parametrize(
    ("said", "text", "done"),
    [
        ({"a": "draft", "b": ConnectFailed("away"), "c": "x"}, "draft", 1),
        ({"a": "draft", "b": "refined", "c": ConnectFailed("away")}, "refined", 2),
        ({"a": "draft", "b": "DECISION: only a note", "c": ConnectFailed("away")}, "draft", 2),
    ],
    ids=["second", "last", "a stage that says notes alone"],
)
async def test_a_later_stage_that_fails_leaves_a_partial_answer(said: dict[str, str], text: str, done: int) -> None:
    heard = await answered("pipeline:a+b+c", Models(**said))
    assert heard.text == text
    assert heard.response.choices[0].finish_reason == "length"
    assert heard.orchestration | {"total_inference_time_ms": 0, "models_used": [], "failed": []} == {
        "mode": "pipeline",
        "models_used": [],
        "total_inference_time_ms": 0,
        "completed_steps": done,
        "total_steps": 3,
        "partial": True,
        "reason": "away",
        "failed": [],
    }


async def test_the_first_stage_that_fails_is_an_error() -> None:
    with pytest.raises(ConnectFailed):
        await answered("pipeline:a+b", Models(a=ConnectFailed("away"), b="x"))


@pytest.mark.parametrize("name", ["pipeline:a+b", "critique:b+a", "debate:b+a"])
async def test_an_answer_that_breaks_off_is_not_made_whole_by_another(name: str) -> None:
    last = [FAULTY, FAULTY, ConnectFailed("cut")] if name[0] == "c" else ["draft", ConnectFailed("cut")]
    models = Models(a=FAULTY, b=last if name[0] != "p" else ConnectFailed("cut"))
    models.breaks_off = {"b"}
    heard = Hearer()
    with pytest.raises(ConnectFailed):
        await answered(name, models, hearer=heard, bounds=Bounds(max_rounds=2))
    assert heard.text == "begun"
    assert not any(isinstance(event, Finish | End) for event in heard.events)


@pytest.mark.parametrize(("count", "stages"), [(2, "draft refine"), (3, "draft refine validate")])
def test_stages_of_few(count: int, stages: str) -> None:
    assert stages_of(count) == stages.split()


def test_stages_of_many() -> None:
    assert stages_of(4) == ["draft", "refine", "validate", "expand"]
    assert stages_of(7) == ["draft", "refine", "refine", "refine", "refine", "validate", "expand"]


async def test_reasoning_is_never_handed_on() -> None:
    models = Models(a=[[Thinking("secret one"), Text("<think>secret two</think>Lyon")], "Paris"], b=CLEAN)
    heard = await answered("critique:a+b", models)
    assert heard.text == "Lyon"
    assert "secret" not in models.prompt(1)


async def test_a_model_that_only_thinks_has_not_answered() -> None:
    with pytest.raises(BadAnswer, match="'a' gave no text"):
        await answered("pipeline:a+b", Models(a="<think>hm", b="x"))


@pytest.mark.parametrize(
    ("settings", "param"),
    [({"tools": [FunctionTool("look")]}, "tools"), ({"n": 2}, "n")],
    ids=["tools", "several choices"],
)
async def test_what_several_models_cannot_do_is_refused(settings: dict[str, object], param: str) -> None:
    models, heard = Models(a="x", b="y"), Hearer()
    with pytest.raises(BadRequest) as caught:
        await answered("debate:a+b", models, hearer=heard, **settings)
    assert (caught.value.param, caught.value.code) == (param, "unsupported_with_orchestration")
    assert not models.asked
    assert not heard.events


async def test_tools_that_must_not_be_called_are_left_out() -> None:
    models = Models(a="x", b="y")
    await answered("debate:a+b", models, tools=[FunctionTool("look")], tool_choice=ToolChoice("none"))
    assert [asked.tools for asked in models.asked[:2]] == [None, None]


async def test_an_unknown_member_is_refused_before_anything_is_said() -> None:
    models, heard = Models(a="x"), Hearer()
    with pytest.raises(NotFound):
        await answered("debate:a+nobody", models, hearer=heard)
    assert not models.asked
    assert not heard.events


async def test_settings_of_the_answer_go_to_those_who_answer() -> None:
    models = Models(a="x", b=FAULTY)
    shape = OutputFormat("json_schema", {"type": "object"})
    await answered("critique:a+b", models, output=shape, stop=["END"], temperature=0.1, logprobs=True, max_tokens=77)
    assert [asked.output for asked in models.asked] == [shape, None, shape, None, shape]
    assert [asked.logprobs for asked in models.asked] == [None, None, None, None, True]
    assert [asked.stop for asked in models.asked][1] is None
    assert {asked.temperature for asked in models.asked} == {0.1}
    assert {asked.max_tokens for asked in models.asked} == {77}
    assert '{"type":"object"}' in models.prompt(1)


async def test_images_of_the_question_are_seen_by_every_model() -> None:
    image = Image(Base64("aGk=", "image/png"))
    models = Models(a="x", b=CLEAN)
    await answered("critique:a+b", models, messages=[Message("user", [Text("What is it?"), image])])
    assert image in models.asked[1].messages[1].parts


async def test_the_earlier_conversation_and_its_system_message_are_handed_on() -> None:
    messages = [
        Message("system", [Text("Answer in French.")]),
        Message("user", [Text("Hello")]),
        Message("assistant", [Text("Bonjour")]),
        *QUESTION,
    ]
    models = Models(a="x", b=CLEAN)
    await answered("critique:a+b", models, messages=messages)
    assert "# Constraints\nAnswer in French." in models.prompt(1)
    assert "# Earlier in the conversation\nuser: Hello\nassistant: Bonjour" in models.prompt(1)


async def test_calls_are_counted() -> None:
    models = Models(a="x", b=FAULTY)
    heard = await answered("critique:a+b", models, bounds=Bounds(max_calls=3, max_rounds=5))
    assert len(models.asked) == 3
    assert heard.text == "x"
    assert "3 calls (max_calls)" in heard.orchestration["reason"]


async def test_tokens_are_counted_before_they_are_spent() -> None:
    with pytest.raises(LimitExceeded, match=r"100 tokens \(max_tokens\): 0 are used") as caught:
        await answered("pipeline:a+b", Models(a="x", b="y"), bounds=Bounds(max_tokens=100))
    assert caught.value.status == 400


async def test_what_was_only_reserved_is_given_back() -> None:
    heard = await answered("pipeline:a+b", Models(a="x", b="y"), bounds=Bounds(max_tokens=1500))
    assert heard.text == "y"


async def test_calls_under_way_are_counted_as_well() -> None:
    models = Models(a="x", b="y", wait_s=0.01)
    heard = await answered("debate:a+b", models, bounds=Bounds(max_tokens=1200))
    assert len(models.asked) == 1
    assert [each["model"] for each in heard.orchestration["failed"]] == ["b"]


async def test_money_is_counted_before_it_is_spent() -> None:
    models = Models(a="x", b=FAULTY)
    models.prices = {"a": 100, "b": 0}
    heard = await answered("critique:a+b", models, bounds=Bounds(max_cost_usd=0.11))
    assert [asked.model for asked in models.asked] == ["a", "b"]
    reason = "An orchestrated request may use $0.11 (max_cost_usd): $0.0012 is spent, and a step may cost $0.11"
    assert heard.orchestration["reason"].startswith(reason)
    assert [call.get("cost_usd") for call in heard.metadata["calls"]] == [0.0012, 0.0]


async def test_money_of_calls_under_way_is_counted_as_well() -> None:
    models = Models(a="x", b="y", wait_s=0.01)
    models.prices = {"a": 1, "b": 1}
    heard = await answered("debate:a+b", models, bounds=Bounds(max_cost_usd=0.0015))
    assert len(models.asked) == 1
    assert [each["model"] for each in heard.orchestration["failed"]] == ["b"]


async def test_a_model_without_a_price_is_refused_where_money_is_bounded() -> None:
    models = Models(a="x", b="y")
    models.prices = {"a": 1}
    with pytest.raises(BadRequest, match="What 'b' costs is not known") as caught:
        await answered("debate:a+b", models, bounds=Bounds(max_cost_usd=1))
    assert caught.value.code == "unknown_price"
    assert not models.asked


async def test_time_is_bounded() -> None:
    models = Models(a="x", b="y", wait_s=5)
    with pytest.raises(ClockExpired, match="timeout_s"):
        await answered("pipeline:a+b", models, bounds=Bounds(timeout_s=0.02))
    assert models.cancelled == 1


async def test_a_caller_that_leaves_ends_every_call() -> None:
    models = Models(a="x", b="y", c="z", wait_s=5)
    task = asyncio.create_task(answered("ensemble:a+b+c", models))
    await models.all_run.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert models.cancelled == 3


async def test_a_slow_caller_is_waited_for() -> None:
    hearer = Hearer(slow=True)
    await answered("debate:a+b", Models(a="x", b="y"), hearer=hearer, stream=True)
    assert hearer.drains >= 3


async def test_the_answer_begins_at_once_and_ends_with_its_end() -> None:
    heard = await answered("debate:a+b", Models(a="x", b="y"))
    assert isinstance(heard.events[0], Start)
    assert heard.events[0].model == "debate:a+b"
    assert isinstance(heard.events[-1], End)
    assert sum(isinstance(event, End) for event in heard.events) == 1
