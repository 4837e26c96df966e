"""One model that searches: what it is shown, and what its caller hears."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.orchestration.models import Hearer, Models
from wye.canon.events import Aside, CitationDelta, End, Ping
from wye.canon.parts import Image, Opaque, Part, Text, ToolCall, ToolResult, Url
from wye.canon.request import ChatRequest, Message
from wye.canon.tools import FunctionTool, NativeTool, ToolChoice
from wye.knowledge.file_search import ROUNDS, SearchingModel
from wye.knowledge.vector_stores import Hit, Search
from wye.ports.store import Passage, Source

TOOL = NativeTool("openai_responses", {"type": "file_search"})
CALL = ToolCall("c1", "file_search", '{"queries": ["Wye", " ", 7], "more": 1}')


class Asked(Models):
    def __init__(self, *said: Any, able: bool = True) -> None:
        super().__init__(m=list(said))
        self.able = able

    async def calls_tools(self, model: str, tool: FunctionTool) -> bool:
        return self.able


class Stores:
    """In place of VectorStores: the same passages for every search."""

    def __init__(self, *texts: str) -> None:
        self.hits = [
            Hit(Source("d", "f", "a.pdf", {}), Passage(number=i, text=t, page=9), 0.5) for i, t in enumerate(texts)
        ]
        self.queries: list[Sequence[str]] = []

    async def search(self, _: Any, search: Search) -> list[Hit]:
        self.queries.append(search.queries)
        return self.hits


async def answered(models: Asked, stores: Any, hearer: Hearer | None = None, **request: Any) -> Hearer:
    heard = hearer or Hearer()
    told: dict[str, Any] = {"model": "m", "messages": [Message("user", [Text("Where?")])], "tools": [TOOL], **request}
    await SearchingModel(stores, [], Search(queries=())).answer(ChatRequest(**told), models, heard)
    return heard


def results(models: Asked, i: int) -> list[str]:
    """What the i-th call was told that its calls have found."""
    parts = models.asked[i].messages[-1].parts
    return [
        text.text for part in parts if isinstance(part, ToolResult) for text in part.parts if isinstance(text, Text)
    ]


async def test_a_passage_keeps_its_number_from_search_to_search() -> None:
    models, stores = Asked([CALL], [CALL], "The Wye flows [2]."), Stores("The Usk is short.", "The Wye flows.")
    heard = await answered(models, stores)
    assert results(models, 1) == results(models, 2)
    assert "[2] (a.pdf, page 9)\nThe Wye flows." in results(models, 1)[0]
    assert stores.queries == [["Wye"], ["Wye"]]
    (cited,) = [event.citation for event in heard.events if isinstance(event, CitationDelta)]
    assert (cited.kind, cited.file_id, cited.start, cited.end, cited.quote) == ("page", "f", 9, 10, "The Wye flows.")
    (choice,) = heard.response.choices
    assert [type(part) for part in choice.parts] == [Opaque, Opaque, Text]
    assert choice.finish_reason == "stop"
    assert heard.response.usage is not None
    assert heard.response.usage.total_tokens == 3 * 12


async def test_of_passages_a_model_is_shown_what_fits() -> None:
    models, stores = Asked([CALL], "Well."), Stores("a" * 900, "b" * 900, "c" * 900)
    models.windows["m"] = 1500  # of which 768 are for the answer: room for 2,196 characters
    await answered(models, stores)
    assert ("[2]" in results(models, 1)[0], "[3]" in results(models, 1)[0]) == (True, False)


async def test_where_nothing_fits_it_is_said() -> None:
    models = Asked([CALL], "Well.")
    models.windows["m"] = 800
    await answered(models, Stores("a" * 900))
    assert "no room" in results(models, 1)[0]


async def test_where_nothing_is_found_it_is_said() -> None:
    models = Asked([CALL], "Well.")
    await answered(models, Stores())
    assert results(models, 1) == ["No passage was found."]


async def test_what_is_found_first_goes_before_the_last_words() -> None:
    picture = Image(Url("https://e.x/a.png"))
    said = [
        Message("user", [picture, Text("Where?")]),
        Message("assistant", [CALL]),
        Message("user", [ToolResult("c1", [])]),
    ]
    models = Asked("Well.", able=False)
    await answered(models, Stores("The Wye flows."), messages=said)
    parts = models.asked[0].messages[0].parts
    assert parts[0] == picture
    assert isinstance(parts[1], Text)
    assert parts[1].text.startswith("Passages of the user's files:\n\n[1] (a.pdf, page 9)\nThe Wye flows.")
    assert parts[1].text.endswith("\n\nQuestion: Where?")
    assert models.asked[0].messages[1:] == said[1:]
    assert models.asked[0].tools is None


async def test_without_words_there_is_nothing_to_search_for() -> None:
    models, stores = Asked("Well.", able=False), Stores("x")
    await answered(models, stores, messages=[Message("user", [Image(Url("https://e.x/a.png"))])])
    assert stores.queries == []
    models = Asked([ToolCall("c1", "file_search", "[]")], "Well.")
    await answered(models, stores, messages=[Message("user", [Image(Url("https://e.x/a.png"))])])
    assert stores.queries == [[]]


@pytest.mark.parametrize("others", [[], [FunctionTool("look")]], ids=["alone", "with others"])
async def test_a_choice_is_kept_until_a_call_is_made(others: list[FunctionTool]) -> None:
    models = Asked([CALL], "Well.") if others else Asked("Well.")
    await answered(models, Stores("x"), tools=[TOOL, *others], tool_choice=ToolChoice("required"))
    modes = [asked.tool_choice.mode if asked.tool_choice else None for asked in models.asked]
    assert modes == (["required", None] if others else [None])


async def test_what_a_turn_before_has_found_is_not_said_again() -> None:
    models, include = Asked("Well."), ["reasoning.encrypted_content", "file_search_call.results"]
    before: list[Part] = [Opaque("openai_responses", {"type": "file_search_call"})]
    await answered(
        models,
        Stores(),
        messages=[Message("user", [Text("Hi")]), Message("assistant", before), Message("user", [Text("And?")])],
        extras={"openai_responses": {"include": include}},
    )
    asked = models.asked[0]
    assert [message.role for message in asked.messages] == ["user", "user"]
    assert asked.extras == {"openai_responses": {"include": include[:1]}}


async def test_an_answer_without_a_choice_ends() -> None:
    class Nothing(Asked):
        async def ask(self, request: ChatRequest, audience: Any = None) -> Any:
            answered = await super().ask(request, audience)
            answered.response.choices.clear()
            return answered

    heard = await answered(Nothing(""), Stores())
    assert isinstance(heard.events[-1], End)


async def test_a_slow_caller_is_waited_for_and_told_what_is_on_the_way() -> None:
    class Telling(Asked):
        async def ask(self, request: ChatRequest, audience: Any = None) -> Any:
            audience.hear(Ping({"state": "waiting"}))
            audience.hear(Aside({"wye": {"a": 1}}, 0))
            return await super().ask(request, audience)

    hearer = Hearer(slow=True)
    await answered(Telling([CALL], "Well."), Stores("x"), hearer)
    assert hearer.drains > 10
    assert Ping({"state": "waiting"}) in hearer.events
    assert Aside({"wye": {"a": 1}}, 0) in hearer.events


async def test_searching_has_an_end() -> None:
    models = Asked([CALL])
    heard = await answered(models, Stores("x"))
    assert len(models.asked) == ROUNDS + 1
    assert heard.response.choices[0].finish_reason == "stop"
