"""Frames that differ in their text alone are passed on without being parsed again: no other may be taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wye.dialects.registry import DIALECTS
from wye.dialects.text_shape import TextShape
from wye.kernel.chunked import framed
from wye.kernel.sse import frame, is_plain


def chat(text: str, **members: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return frame(json.dumps({"id": "c", "choices": [choice], **members}, separators=(",", ":")).encode())


def claude(text: str, index: int = 0) -> bytes:
    delta = {"type": "text_delta", "text": text}
    return frame(
        json.dumps({"type": "content_block_delta", "index": index, "delta": delta}).encode(), "content_block_delta"
    )


def openai(text: str, padding: str = "xYz1", **members: Any) -> bytes:
    """As OpenAI sends it to those who do not ask for less."""
    return chat(text, obfuscation=padding, **members)


def responses(text: str, padding: str = "xYz1", number: int = 5) -> bytes:
    told = {"sequence_number": number, "item_id": "m", "output_index": 0, "delta": text, "obfuscation": padding}
    return frame(json.dumps(told, separators=(",", ":")).encode(), "response.output_text.delta")


def learned(whole: bytes) -> TextShape:
    shape = TextShape()
    shape.learn(whole)
    return shape


def text_of(shape: TextShape, whole: bytes) -> str:
    """However it comes."""
    text = shape.text(whole)
    if whole:
        assert shape.text_of_chunk(framed(whole)) == text
        assert shape.texts_of_chunks(framed(whole)) == ([text] if text else [])
    return text


@pytest.mark.parametrize("say", [chat, claude, openai, responses])
@pytest.mark.parametrize(
    "text",
    [" ", "word", "two words, and a {brace}", "é", '"', "\\", "\n", "\x7f", '\\", "usage": {', "😀", "x" * 10_000],
)
def test_another_text_fits(say: Any, text: str) -> None:
    assert text_of(learned(say("Vines")), say(text)) == text
    assert text_of(learned(say('"a\\b"é')), say(text)) == text
    assert text_of(learned(say("")), say(text)) == text


@pytest.mark.parametrize(
    "other",
    [
        chat("a", usage=None), chat("a")[:-1], chat("a") + chat("b"), claude("a"), b"", b"a",
        chat("a").replace(b'"a"', b'"a"b"'), chat("a").replace(b'"a"', b'"\x00"'), chat("a").replace(b'"a"', b'"\n\n"'),
        chat("a").replace(b'"a"', b'"a"\n\n'), chat("a").replace(b'"a"', b' "a"'), chat("a").replace(b'"a"', b"1"),
        chat("é").replace(b"\\u00e9", b"\xff"), chat("é").replace(b"\\u00e9", b"\\ud800"),
        chat("é").replace(b"\\u00e9", b"\\x"), chat("a").replace(b'"a"', b'"\\"'),
        chat("a").replace(b'"finish_reason":null', b'"finish_reason":"stop"'), b"event: error\n" + chat("a"),
        chat("a").replace(b'"a"', b'"a'), chat("")[: len(chat("")) - 3], chat("").replace(b'""', b'"'),
    ],
)  # fmt: skip
def test_nothing_else_does(other: bytes) -> None:
    assert text_of(learned(chat("Vines")), other) == ""


@pytest.mark.parametrize("text", ["b", 'b","obfuscation":"c', 'say "hm"', "", "é"])
@pytest.mark.parametrize(("padding", "number"), [("a", 6), ("0123456789abcdefABCDEF", 12345), ("xYz1", 5)])
def test_another_number_and_padding_fit(text: str, padding: str, number: int) -> None:
    assert text_of(learned(responses("Vines")), responses(text, padding, number)) == text
    assert text_of(learned(openai("Vines")), openai(text, padding)) == text


@pytest.mark.parametrize(
    "other",
    [
        responses("a", ""), responses("a", '"'), responses("a", "b c"), responses("a", "é"), responses("a", number=0),
        responses("a", number=-1), responses("a").replace(b":5,", b":05,"), responses("a").replace(b":5,", b":,"),
        responses("a").replace(b":5,", b":5.5,"), responses("a").replace(b":5,", b":5\n,"), openai("a"), b"",
        responses("a").replace(b'"xYz1"', b'"xYz1","error":{}'), responses("a").replace(b'"a"', b'"a"b"'),
        responses("a").replace(b'"item_id":"m"', b'"item_id":"n"'), responses("a").replace(b'"a"', b'"a"\n\n'),
    ],
)  # fmt: skip
def test_another_member_beside_the_text_does_not(other: bytes) -> None:
    assert text_of(learned(responses("Vines")), other) == ""


def test_a_number_that_means_something_is_a_part_of_the_shape() -> None:
    shape = TextShape()
    assert shape.learn(responses("Vines"), numbered=False) == "Vines"
    assert text_of(shape, responses("a", "padding", 5)) == "a"
    assert text_of(shape, responses("a", "padding", 6)) == ""


@pytest.mark.parametrize("any_", [b"", b"a", b"\n", b'""', chat("a")])
def test_who_has_learned_nothing_knows_none(any_: bytes) -> None:
    assert text_of(TextShape(), any_) == ""
    assert text_of(learned(frame(b'{"usage":{}}')), any_) == ""


def test_where_each_frame_differs_it_is_given_up() -> None:
    shape = TextShape()
    for number in range(20):
        shape.learn(chat("a", number=number))
    assert text_of(shape, chat("b", number=19)) == ""


def test_a_frame_of_megabytes_teaches_nothing() -> None:
    assert text_of(learned(chat('"' * 10_000)), chat("a")) == ""
    assert text_of(learned(chat('"' * 1_000)), chat("a")) == "a"


def test_where_some_frames_are_alike_it_is_learned_anew() -> None:
    shape = TextShape()
    for created in range(20):
        shape.learn(chat("a", created=created))
        assert text_of(shape, chat("b", created=created)) == "b"


@pytest.mark.parametrize(
    "dialect", [d for d in DIALECTS.values() if d.framing.content_type.startswith(b"text/")], ids=lambda d: d.name
)
@pytest.mark.parametrize("say", [chat, claude])
def test_what_fits_has_no_marker_and_is_plain(dialect: Any, say: Any) -> None:
    taught = say("Vines")
    if dialect.tap.markers.search(taught) is None:
        for text in ("usage: {", "finish_reason: stop", "[DONE]", "error", "data: {}", "response.completed"):
            assert text_of(learned(taught), say(text)) == text
            assert dialect.tap.markers.search(say(text)) is None
            assert is_plain(say(text))


GOOD = framed(chat("a"))


@pytest.mark.parametrize(
    "chunk",
    [
        b"", GOOD[:-1], GOOD[1:], GOOD[:-2], GOOD + b"\r", b"0" + GOOD, b" " + GOOD, GOOD[:2] + b";x=y" + GOOD[2:],
        GOOD.replace(b"a", b"ab"), GOOD[:1].upper() + GOOD[1:-2] + b"\n\r", b'"a"' + GOOD[GOOD.index(b'"a"') + 3 :],
        b"\r\n" + GOOD[4:], chat("a"), GOOD + b"0\r\n\r\n", GOOD + framed(claude("a")), framed(claude("a")) + GOOD,
        GOOD + GOOD[:-2], GOOD + GOOD[1:], GOOD + b"\r\n" + GOOD,
    ],
)  # fmt: skip
def test_the_framing_of_a_chunk_is_looked_at(chunk: bytes) -> None:
    shape = learned(chat("Vines"))
    assert shape.text_of_chunk(GOOD) == "a"
    assert shape.text_of_chunk(chunk) == ""
    assert shape.texts_of_chunks(chunk) == []


def test_chunks_that_come_together_are_told_apart() -> None:
    shape = learned(chat("Vines"))
    texts = ["a", '","finish', "\r\n", "x" * 5000, "b"]
    assert shape.texts_of_chunks(b"".join(framed(chat(text)) for text in texts)) == texts


def test_chunks_of_any_number_of_lengths_are_known() -> None:
    shape = learned(chat("Vines"))
    for _ in range(2):
        for size in range(1, 200):
            assert shape.text_of_chunk(framed(chat("x" * size))) == "x" * size


def test_what_was_forgotten_is_not_known() -> None:
    shape = learned(chat("Vines"))
    assert text_of(shape, chat("a")) == "a"
    shape.forget()
    assert text_of(shape, chat("a")) == ""


def test_what_was_learned_before_is_not_known_any_longer() -> None:
    shape = learned(claude("Vines", 0))
    assert text_of(shape, claude("a", 0)) == "a"
    assert shape.learn(claude("Vines", 1)) == "Vines"
    assert text_of(shape, claude("a", 0)) == ""
    assert text_of(shape, claude("a", 1)) == "a"
