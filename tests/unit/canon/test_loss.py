import pytest

from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Opaque
from wye.canon.tools import NativeTool
from wye.canon.usage import Usage
from wye.kernel.errors import LossRefused


def test_each_loss_is_kept_once_in_order() -> None:
    losses = Losses()
    losses.add("seed", "no place")
    losses.add("user", "no place", "info")
    losses.add("seed", "no place")
    assert [(loss.field, loss.severity) for loss in losses] == [("seed", "warning"), ("user", "info")]


def test_the_header_names_first_what_may_change_the_answer() -> None:
    losses = Losses()
    for name in ("user", "store"):
        losses.add(name, "no place", "info")
    losses.add("seed", "no place")
    losses.add("n", "no place")
    assert losses.header() == "seed, n, user, store"
    assert losses.header(limit=10) == "seed, n, +2 more"


def test_strict_mode_refuses_what_may_change_the_answer_and_names_it() -> None:
    losses = Losses()
    losses.add("user", "no place", "info")
    losses.refuse()
    losses.add("seed", "no place")
    losses.add("n", "no place")
    with pytest.raises(LossRefused, match=r"seed cannot be carried: no place \(and 1 more\)") as raised:
        losses.refuse()
    assert raised.value.param == "seed"


def test_the_header_is_short_ascii_and_one_line() -> None:
    losses = Losses()
    losses.add("a,b\r\nc", "x")
    losses.add("é", "x")
    assert losses.header() == "a;b  c, ?"
    for i in range(200):
        losses.add(f"messages[{i}].cache_control", "x")
    header = losses.header()
    assert len(header) < 1100
    assert header.endswith(" more")


def test_extras_go_back_to_their_own_dialect_and_are_a_loss_in_any_other() -> None:
    losses = Losses()
    extras = {"a": {"x": 1}, "b": {"y": 2}}
    assert own_extras(extras, "a", losses, "messages[0]") == {"x": 1}
    assert [loss.field for loss in losses] == ["messages[0].y"]
    assert own_extras(extras, "c", losses, "") == {}
    assert [loss.field for loss in losses] == ["messages[0].y", "x", "y"]
    assert own_extras(None, "a", losses, "") == {}
    assert extras_of("a", {}) is None
    assert extras_of("a", {"x": 1}) == {"a": {"x": 1}}


def test_content_that_cannot_be_said_is_an_error_that_names_it() -> None:
    error = cannot_say("d", "audio", "messages[0].content[1]")
    assert error.param == "messages[0].content[1]"
    assert "audio cannot be sent" in error.message


def test_a_later_report_of_usage_replaces_what_it_knows() -> None:
    first = Usage(10, 1, 2, 3, 4, {"d": {"a": 1, "b": 1}})
    assert first.updated(Usage(output_tokens=9, extras={"d": {"b": 2}})) == Usage(
        10, 9, 2, 3, 4, {"d": {"a": 1, "b": 2}}
    )
    assert first.updated(Usage(20, 2, 5, 6, 7)) == Usage(20, 2, 5, 6, 7, first.extras)
    assert Usage().updated(Usage()).extras is None
    assert (first.total_tokens, Usage().total_tokens) == (11, 0)


def test_opaque_things_know_their_type() -> None:
    assert Opaque("d", {"type": "x"}).type == NativeTool("d", {"type": "x"}).type == "x"
    assert Opaque("d", {}).type == NativeTool("d", {}).type == ""
