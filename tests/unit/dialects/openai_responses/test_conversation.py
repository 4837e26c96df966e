from __future__ import annotations

from typing import Any

import pytest

from wye.dialects.openai_responses import DIALECT, continued, items_of, page_of, with_ids
from wye.kernel.errors import BadRequest, NotFound

USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "22"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}


def test_an_input_is_a_list_of_items() -> None:
    assert items_of("Hi") == [USER]
    assert items_of([USER, RESULT]) == [USER, RESULT]
    assert items_of(None) == []
    assert items_of([]) == []


@pytest.mark.parametrize("given", [7, ["Hi"], {"role": "user"}])
def test_anything_else_is_an_error_that_says_so(given: Any) -> None:
    with pytest.raises(BadRequest, match="a string or an array"):
        items_of(given)


def test_a_turn_continues_with_all_that_came_before() -> None:
    reference = {"type": "item_reference", "id": "rs_1"}
    elsewhere = {"type": "item_reference", "id": "msg_elsewhere"}
    items = continued([USER], [THOUGHT, CALL], [reference, elsewhere, RESULT])
    assert items == [USER, THOUGHT, CALL, elsewhere, RESULT]
    request = DIALECT.decode_request({"model": "m", "input": continued([USER], [THOUGHT, CALL], [RESULT])})
    assert [message.role for message in request.messages] == ["user", "assistant", "user"]


def test_items_are_kept_with_ids() -> None:
    easy = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    kept = with_ids([*easy, CALL, RESULT, {"type": "compaction", "encrypted_content": "x"}])
    assert [item["id"][:4] for item in kept] == ["msg_", "msg_", "fc_1", "fco_", "item"]
    assert kept[0] == {**USER, "id": kept[0]["id"], "status": "completed"}
    assert kept[1]["content"] == [{"type": "output_text", "text": "Ho"}]
    assert with_ids(kept) == kept
    assert easy[0] == {"role": "user", "content": "Hi"}


def test_items_are_listed_page_by_page() -> None:
    items: list[dict[str, Any]] = [{"type": "message", "id": f"msg_{i}"} for i in range(5)]
    assert page_of(items, limit=2) == {
        "object": "list",
        "data": [items[4], items[3]],
        "first_id": "msg_4",
        "last_id": "msg_3",
        "has_more": True,
    }
    assert page_of(items, after="msg_1", order="asc")["data"] == items[2:]
    last = page_of(items, after="msg_0")
    assert last == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_a_page_that_cannot_be_is_an_error() -> None:
    with pytest.raises(NotFound, match="nobody"):
        page_of([], after="nobody")
    for limit in (0, 101):
        with pytest.raises(BadRequest, match="from 1 to 100"):
            page_of([], limit=limit)
