"""Members that only one dialect knows: given back to it, named as lost where another comes out."""

from __future__ import annotations

from wye.canon.extras import FORM, extras_of, joined, own_extras
from wye.canon.loss import Loss, Losses


def test_what_is_left_is_kept_under_the_dialects_name() -> None:
    assert extras_of("a", {"x": 1}) == {"a": {"x": 1}}
    assert extras_of("a", {}) is None


def test_own_members_come_back_and_others_are_lost_by_name() -> None:
    losses = Losses()
    extras = {"a": {"x": 1}, "b": {"y": 2, "caller": {}, "nothing": None}}
    assert own_extras(extras, "a", losses, "messages[0]") == {"x": 1}
    assert own_extras(None, "a", losses, "") == {}
    assert losses == [
        Loss("messages[0].y", "a has no place for it"),
        Loss("messages[0].caller", "a has no place for it", "info"),
    ]


def test_how_something_was_spelled_is_no_loss() -> None:
    losses = Losses()
    assert own_extras({"b": {FORM: {"content": "text"}}}, "a", losses, "") == {}
    assert losses == []


def test_members_join_what_is_said() -> None:
    own = {"details": {"new": 1}, "odd": 7}
    assert joined({"known": 2}, own, "details") == {"known": 2, "new": 1}
    assert joined({"known": 2}, own, "odd") == {"known": 2}
    assert joined({"known": 2}, own, "nowhere") == {"known": 2}
    assert own == {"odd": 7}
