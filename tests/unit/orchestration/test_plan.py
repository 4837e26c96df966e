"""From names, presets and requests to which models answer."""

from __future__ import annotations

import pytest

from tests.unit.orchestration.models import Models, answered
from wye.catalog.presets import PRESETS
from wye.kernel.errors import BadRequest, Unprocessable
from wye.orchestration.panel import ModelPanels
from wye.orchestration.plan import Bounds, Candidate, Wish, fewest_calls, wish_of_name, wish_of_request

AT_HAND = [Candidate("big", ["primary"]), Candidate("small", ["fast"]), Candidate("code", ["coder", "primary"])]


def planned(wish: Wish | None, at_hand: list[Candidate] | None = None) -> tuple[str, list[str]]:
    assert wish is not None
    plan = wish.plan(Bounds(), lambda: AT_HAND if at_hand is None else at_hand)
    return plan.mode, plan.models


@pytest.mark.parametrize(
    ("name", "mode", "models"),
    [
        ("critique", "critique", ["big", "code"]),
        ("debate", "debate", ["big", "code"]),
        ("ensemble", "ensemble", ["big", "code", "small"]),
        ("pipeline", "pipeline", ["big", "code", "small"]),
        ("single", "single", ["big"]),
        ("single:x", "single", ["x"]),
        ("debate:phi-4+qwen2.5-7b", "debate", ["phi-4", "qwen2.5-7b"]),
        ("debate:openai/gpt-4o + local:small", "debate", ["openai/gpt-4o", "local:small"]),
        ("critique:a+b+c", "critique", ["a", "b", "c"]),
        ("debate:a+a+b", "debate", ["a", "b"]),
    ],
)
def test_a_name_stands_for_models(name: str, mode: str, models: list[str]) -> None:
    assert planned(wish_of_name(name)) == (mode, models)


@pytest.mark.parametrize("name", sorted(PRESETS))
async def test_every_preset_resolves_and_answers(name: str) -> None:
    preset = PRESETS[name]
    heard = await answered(name, Models(None, 0, **dict.fromkeys(preset.models, "NO ISSUES FOUND")))
    assert heard.orchestration["mode"] == preset.mode
    assert set(heard.orchestration["models_used"]) == set(preset.models)


@pytest.mark.parametrize("name", ["gpt-4o", "critiques", "Debate:a+b", "", "D99", "critic:a+b"])
def test_other_names_stand_for_nothing(name: str) -> None:
    assert wish_of_name(name) is None
    assert ModelPanels(Bounds(), list).named(name) is None


@pytest.mark.parametrize("name", ["debate:", "debate:a+", "debate:+a", "pipeline: + "])
def test_a_name_without_models_between_its_signs_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="names no model"):
        wish_of_name(name)


@pytest.mark.parametrize(
    ("model", "mode", "task_type", "expected"),
    [
        ("small", "critique", None, ("critique", ["small", "big"])),
        ("small", "ensemble", None, ("ensemble", ["small", "big", "code"])),
        ("small+code", "debate", None, ("debate", ["small", "code"])),
        ("", "debate", None, ("debate", ["big", "code"])),
        ("", "single", "debug", ("single", ["code"])),
        ("", None, "quick", ("single", ["small"])),
        ("", None, "what nobody knows", ("single", ["big"])),
        ("remote", None, "quick", ("single", ["remote"])),
        ("pipeline", None, "extract", ("pipeline", ["small", "big", "code"])),
        ("critique", "critique", "code", ("critique", ["code", "big"])),
        ("D3", "debate", None, ("debate", ["phi-4", "deepseek-r1-7b"])),
    ],
)
def test_a_request_asks_for_models(
    model: str, mode: str | None, task_type: str | None, expected: tuple[str, list[str]]
) -> None:
    assert planned(wish_of_request(model, mode, task_type)) == expected


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(Unprocessable, match="'duel' is unknown: there are single, critique, debate") as caught:
        wish_of_request("m", "duel", None)
    assert (caught.value.status, caught.value.param) == (422, "orchestration_mode")


def test_a_name_and_a_mode_that_contradict_are_refused() -> None:
    with pytest.raises(BadRequest, match="'D3' is a debate, and orchestration_mode asks for critique"):
        wish_of_request("D3", "critique", None)


@pytest.mark.parametrize(
    ("name", "at_hand", "reason"),
    [
        ("debate", [], "debate needs 2 models, and 0 are there: "),
        ("debate", AT_HAND[:1], r"debate needs 2 models, and 1 is there \(big\): "),
        ("ensemble:a", AT_HAND, r"ensemble needs 2 models, and 1 is there \(a\): "),
        ("single:a+b", [], r"single asks one model, and 'single:a\+b' names 2"),
        ("debate:" + "+".join(f"m{i}" for i in range(17)), [], "at most 16"),
        ("debate:" + "+".join(f"m{i}" for i in range(16)), [], "debate with 16 models takes 17 calls"),
    ],
    ids=["none", "one at hand", "one named", "too many for single", "too many", "too many calls"],
)
def test_the_number_of_models_must_fit(name: str, at_hand: list[Candidate], reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        planned(wish_of_name(name), at_hand)


def test_too_few_models_tells_the_figures() -> None:
    with pytest.raises(BadRequest) as caught:
        planned(wish_of_name("debate"), AT_HAND[:1])
    assert caught.value.details == {"needed": 2, "available": 1, "models": ["big"]}


def test_how_many_calls_a_mode_takes() -> None:
    assert [fewest_calls(mode, 3) for mode in ("pipeline", "critique", "debate", "ensemble")] == [3, 2, 4, 4]
    assert fewest_calls("single", 1) == 1
