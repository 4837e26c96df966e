from collections import Counter

import pytest

from wye.catalog.local_models import CARDS
from wye.catalog.presets import PRESETS, Preset
from wye.catalog.roles import TASK_TYPES, role_for


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_every_preset_names_models_that_have_a_card_each_once(preset: Preset) -> None:
    assert set(preset.models) <= set(CARDS)
    assert len(set(preset.models)) == len(preset.models)
    assert (preset.mode == "single") == (len(preset.models) == 1)
    # The letter of a name says how many: single, duo, trio, quartet, and five or more.
    sizes = {"S": (1,), "D": (2,), "T": (3,), "Q": (4,), "P": (5, 6, 7, 8)}
    assert len(preset.models) in sizes[preset.name[0]]


def test_the_presets_are_all_there() -> None:
    assert Counter(name[0] for name in PRESETS) == {"S": 10, "D": 16, "T": 13, "Q": 7, "P": 6}
    assert PRESETS["D3"] == Preset(name="D3", mode="debate", models=("phi-4", "deepseek-r1-7b"))
    assert PRESETS["T6"].models == ("llama-3.2-3b", "phi-4", "phi-3-medium-128k")


@pytest.mark.parametrize(
    ("task", "role"),
    [
        ("code", "coder"),
        ("test", "coder"),
        ("plan", "thinker"),
        ("classify", "fast"),
        ("rag", "longctx"),
        ("poetry", "primary"),
        ("", "primary"),
        (None, "primary"),
    ],
)
def test_a_task_is_for_a_role(task: str | None, role: str) -> None:
    assert role_for(task) == role


def test_every_role_that_a_task_asks_for_has_a_model() -> None:
    played = {role for card in CARDS.values() for role in card.roles}
    assert {*TASK_TYPES.values(), "primary"} <= played
