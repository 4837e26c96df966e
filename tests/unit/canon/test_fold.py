import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wye.canon.events import (
    ArgumentsDelta,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Ping,
    RefusalDelta,
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageReport,
    is_content,
)
from wye.canon.fold import Fold, fold, unfold
from wye.canon.parts import Audio, Base64, Citation, Image, Opaque, Part, Refusal, Text, Thinking, ToolCall
from wye.canon.response import ChatResponse, Choice
from wye.canon.usage import Usage
from wye.kernel.errors import StreamCut, UpstreamRefused

LOGPROB = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}


def test_the_events_of_a_stream_become_its_answer() -> None:
    answer = fold(
        [
            Start("id", "m", 5, Usage(input_tokens=3), "default", {"d": {"x": 1}}),
            Ping(),
            PartStart(0, Thinking()),
            ThinkingDelta(0, "hm", extras={"d": {"t": 1}}),
            ThinkingDelta(0, "m"),
            SignatureDelta(0, "SI"),
            SignatureDelta(0, "G"),
            PartEnd(0),
            PartStart(1, Text("")),
            TextDelta(1, "Hel", logprobs={"content": [LOGPROB]}),
            TextDelta(1, "lo", logprobs={"content": [LOGPROB], "refusal": None}, extras={"d": {"o": "x"}}),
            CitationDelta(1, Citation("url", url="u")),
            PartEnd(1),
            PartStart(2, ToolCall("c1", "f")),
            ArgumentsDelta(2, '{"a"'),
            ArgumentsDelta(2, ":1}"),
            PartEnd(2),
            PartStart(3, Opaque("d", {"type": "compaction", "content": "a", "n": 1})),
            OpaqueDelta(3, "d", {"content": "b", "n": 2}),
            PartEnd(3),
            PartStart(4, Audio("QQ")),
            OpaqueDelta(4, "d", {"data": "==", "transcript": "hi"}),
            PartEnd(4),
            Finish("tool_calls", stop_sequence="S", extras={"d": {"f": 1}}),
            UsageReport(Usage(output_tokens=7, extras={"d": {"u": 1}}), {"d": {"y": 2}}),
            End(),
        ]
    )
    assert answer == ChatResponse(
        id="id",
        model="m",
        created=5,
        service_tier="default",
        usage=Usage(3, 7, extras={"d": {"u": 1}}),
        extras={"d": {"x": 1, "y": 2}},
        choices=[
            Choice(
                [
                    Thinking("hmm", "SIG", extras={"d": {"t": 1}}),
                    Text("Hello", [Citation("url", url="u")], extras={"d": {"o": "x"}}),
                    ToolCall("c1", "f", '{"a":1}'),
                    Opaque("d", {"type": "compaction", "content": "ab", "n": 2}),
                    Audio("QQ==", transcript="hi"),
                ],
                "tool_calls",
                stop_sequence="S",
                logprobs={"content": [LOGPROB, LOGPROB]},
                extras={"d": {"f": 1}},
            )
        ],
    )


def test_choices_that_interleave_stay_apart() -> None:
    answer = fold(
        [
            Start("id", "m"),
            PartStart(0, Text(""), 1),
            TextDelta(0, "b", 1),
            PartStart(0, Text(""), 0),
            TextDelta(0, "a", 0),
            PartEnd(0, 1),
            PartEnd(0, 0),
            Finish("stop", 1),
            Finish("length", 0),
            End(),
        ]
    )
    assert [(c.index, c.parts, c.finish_reason) for c in answer.choices] == [
        (0, [Text("a")], "length"),
        (1, [Text("b")], "stop"),
    ]


def test_the_events_are_not_changed_by_folding() -> None:
    start = PartStart(0, Opaque("d", {"type": "t", "content": "a"}))
    text = PartStart(1, Text("x"))
    fold([Start("i", "m"), start, OpaqueDelta(0, "d", {"content": "b"}), text, TextDelta(1, "y"), End()])
    assert start.part == Opaque("d", {"type": "t", "content": "a"})
    assert text.part == Text("x")


def test_a_delta_for_a_part_of_another_kind_changes_nothing() -> None:
    image = Image(Base64("QQ=="))
    answer = fold(
        [
            Start("i", "m"),
            PartStart(0, image),
            TextDelta(0, "x", extras={"d": {"e": 1}}),
            SignatureDelta(0, "s"),
            CitationDelta(0, Citation("url")),
            OpaqueDelta(0, "d", {"a": 1}),
            PartEnd(0),
            End(),
        ]
    )
    assert answer.choices[0].parts == [image]


def test_a_stream_that_breaks_off_is_no_answer() -> None:
    begun: list[Event] = [Start("i", "m"), PartStart(0, Text("")), TextDelta(0, "half")]
    with pytest.raises(StreamCut):
        fold(begun)
    with pytest.raises(UpstreamRefused):
        fold([*begun, Failure(UpstreamRefused("overloaded", status=529))])
    with pytest.raises(StreamCut):
        fold([End()])


def test_what_came_so_far_can_be_looked_at() -> None:
    collected = Fold()
    for event in (Start("i", "m"), PartStart(0, Refusal("")), RefusalDelta(0, "no", logprobs={"refusal": [LOGPROB]})):
        collected.add(event)
    assert not collected.ended
    assert collected.response().choices[0].parts == [Refusal("no")]
    assert collected.response().choices[0].logprobs == {"refusal": [LOGPROB]}


PARTS: list[Part] = [
    Text("hi", [Citation("char", quote="q")]),
    Text(""),
    Thinking("t", "s"),
    Thinking(redacted="r"),
    Refusal("no"),
    ToolCall("a", "f", "{}"),
    ToolCall("a", "f"),
    Opaque("d", {"type": "x", "n": 1}),
    Image(Base64("QQ==")),
]


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.lists(
        st.builds(
            Choice,
            parts=st.lists(st.sampled_from(PARTS), max_size=4),
            finish_reason=st.sampled_from(["stop", "length", None]),
            stop_sequence=st.none() | st.text(max_size=3),
            extras=st.sampled_from([None, {"d": {"x": 1}}]),
        ),
        max_size=3,
    ),
    st.none() | st.builds(Usage, input_tokens=st.integers(0, 9)),
)
def test_folding_what_was_unfolded_gives_it_back(choices: list[Choice], usage: Usage | None) -> None:
    kept = [c for c in choices if c.parts or c.finish_reason]
    for index, choice in enumerate(kept):
        choice.index = index
        if choice.finish_reason is None:
            choice.stop_sequence = choice.extras = None
    answer = ChatResponse(id="i", model="m", choices=kept, usage=usage, extras={"d": {"z": 1}})
    assert fold(unfold(answer)) == answer


def test_log_probabilities_go_with_the_first_text() -> None:
    for part in (Text("a"), Refusal("a")):
        answer = ChatResponse(
            id="i", model="m", choices=[Choice([part, Text("b")], "stop", logprobs={"content": [LOGPROB]})]
        )
        assert fold(unfold(answer)) == answer


@pytest.mark.parametrize(
    ("event", "content"),
    [
        (Start("i", "m"), False),
        (Ping(), False),
        (PartStart(0, Text("")), False),
        (PartStart(0, Thinking()), False),
        (PartStart(0, Text("x")), True),
        (PartStart(0, ToolCall("c", "f")), True),
        (TextDelta(0, "x"), True),
        (ArgumentsDelta(0, "x"), True),
        (Finish("stop"), False),
        (End(), False),
    ],
)
def test_content_begins_where_the_model_says_something(event: Event, content: bool) -> None:
    assert is_content(event) is content


def test_the_end_of_a_part_may_tell_more_than_its_pieces() -> None:
    whole = Thinking("Hm.", redacted="gAAA", id="rs_1")
    started = Opaque("d", {"type": "search", "status": "running"})
    ended = Opaque("d", {"type": "search", "status": "done"})
    answer = fold(
        [
            Start("id", "m"),
            PartStart(0, Thinking(id="rs_1")),
            ThinkingDelta(0, "Hm."),
            PartEnd(0, part=whole),
            PartStart(1, started),
            OpaqueDelta(1, "d", {"type": "progress"}),
            PartEnd(1, part=ended),
            End(),
        ]
    )
    assert answer.choices == [Choice([whole, ended])]
    assert answer.choices[0].parts[1] is not ended
