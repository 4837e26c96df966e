"""What is sealed comes out as it went in; what is no seal comes out as nothing."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wye.canon import seal as seals
from wye.canon.parts import Opaque, Thinking, ToolCall
from wye.canon.seal import MAX_SEAL_CHARS, PREFIX, Sealable, has_seals, seal, unseal
from wye.kernel.json import encode

TEXT = st.text(st.characters(codec="utf-8"))
MAYBE = st.none() | TEXT
JSON = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT, lambda v: st.lists(v, max_size=3))


@given(
    st.builds(
        Thinking, text=TEXT, signature=MAYBE, redacted=MAYBE, id=MAYBE, origin=st.sampled_from([None, "anthropic"])
    )
)
@settings(derandomize=True, deadline=None)
def test_a_thought_comes_back_byte_for_byte(thought: Thinking) -> None:
    text = seal(thought)
    assert text.startswith(PREFIX)
    assert text.isascii()
    assert "=" not in text
    assert unseal(text) == thought


def test_unknown_members_of_a_thought_are_in_its_seal() -> None:
    thought = Thinking("so", signature="c2ln", extras={"anthropic_messages": {"new": [1, None]}})
    assert unseal(seal(thought)) == thought


@given(st.dictionaries(TEXT, JSON, max_size=4))
@settings(derandomize=True, deadline=None)
def test_an_element_comes_back_as_it_was(value: dict[str, object]) -> None:
    assert unseal(seal(Opaque("openai_responses", value))) == Opaque("openai_responses", value)


def test_a_call_that_a_provider_ran_comes_back_as_it_was() -> None:
    call = ToolCall("srvtoolu_1", "web_search", '{"query": "x"}', "server", extras={"anthropic_messages": {"a": 1}})
    assert unseal(seal(call)) == call


def _sealed(data: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(data).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "EqoBCkgIBRABGAIi",  # a vendor's own
        PREFIX,
        PREFIX + "!!!!",
        PREFIX + "a",
        PREFIX + "é",
        _sealed(b"no JSON"),
        _sealed(b"[]"),
        _sealed(b'{"type":"thinking","text":1}'),
        _sealed(b'{"type":"text","text":"x"}'),
        _sealed(b'{"type":"opaque","dialect":"d"}'),
        _sealed(b"[" * 100_000),
    ],
)
def test_what_is_no_seal_is_nothing(text: str) -> None:
    assert unseal(text) is None


def test_a_text_beyond_the_limit_is_no_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = seal(Thinking("x" * 100))
    monkeypatch.setattr(seals, "MAX_SEAL_CHARS", len(text) - 1)
    assert unseal(text) is None
    assert len(text) < MAX_SEAL_CHARS


@pytest.mark.parametrize(
    "part",
    [
        Thinking(signature="EqQB", origin="anthropic"),
        Opaque("openai_responses", {"type": "compaction"}),
        ToolCall("srvtoolu_1", "web_search", "{}", "server"),
    ],
    ids=["thought", "element", "call"],
)
def test_seals_are_found_in_the_bytes_of_a_body(part: Sealable) -> None:
    sealed = seal(part)
    assert has_seals(encode({"messages": [{"content": [{"type": "thinking", "signature": sealed}]}]}))
    assert not has_seals(encode({"messages": [{"content": f"What is {sealed}?", "signature": "EqQB"}]}))
