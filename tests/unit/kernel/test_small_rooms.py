"""ids, clock, money, secret and errors: a few promises each."""

import os
import pickle

import msgspec
import pytest

from wye.kernel import clock, errors, ids, money
from wye.kernel.secret import Secret, fingerprint


def test_ids_are_unique_and_keep_their_prefix() -> None:
    made = {ids.new_id("req_") for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(i) == 36 and i.startswith("req_") for i in made)


def test_a_forked_child_does_not_repeat_its_parents_ids() -> None:
    ids.new_id("")  # the child inherits those that are drawn already
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        ids.reseed()
        os.write(write, ids.new_id("").encode())
        os._exit(0)
    os.waitpid(child, 0)
    childs = os.read(read, 100).decode()
    assert childs != ids.new_id("")
    ids.reseed()
    assert childs != ids.new_id("")


def test_clocks_go_forward() -> None:
    assert clock.monotonic_s() <= clock.monotonic_s()
    assert abs(clock.wall_s() - clock.unix_s()) < 2


@pytest.mark.parametrize(
    ("tokens", "price", "cost"),
    [(0, 3_000_000, 0), (1_000_000, 3_000_000, 3_000_000), (1, 150_000, 1), (7, 3_000_000, 21)],
)
def test_costs_are_whole_micro_dollars_rounded_up(tokens: int, price: int, cost: int) -> None:
    assert money.cost_micro_usd(tokens, price) == cost


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "$0.00"), (1_234, "$0.001234"), (2_500_000, "$2.50"), (-1_000_000, "-$1.00"), (1, "$0.000001")],
)
def test_money_is_shown_as_dollars(amount: int, text: str) -> None:
    assert money.format_usd(amount) == text


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("sk-verysecret")
    assert secret.reveal() == "sk-verysecret"
    for shown in (repr(secret), str(secret), f"{secret}", secret.masked()):
        assert "verysecret" not in shown
    assert secret.masked() == "sk-***"
    assert Secret("verysecret").masked() == "***"
    assert Secret("verylonghead-tail").masked() == "***"
    with pytest.raises(TypeError):
        msgspec.json.encode({"key": secret})
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert not Secret("")
    assert len(fingerprint("a")) == 32


def test_every_error_has_a_status_a_code_and_a_place_in_the_tree() -> None:
    def below(kind: type[errors.WyeError]) -> set[type[errors.WyeError]]:
        return {kind}.union(*(below(sub) for sub in kind.__subclasses__()))

    for kind in below(errors.WyeError):
        if kind.__module__ != errors.__name__:
            continue  # a driver's own, which never leaves it
        assert 400 <= kind.status <= 599
        assert kind.code
        assert kind.__name__ in (errors.__doc__ or ""), f"{kind.__name__} is not drawn in the tree"


def test_an_error_carries_what_its_reader_needs() -> None:
    error = errors.BadRequest("no", param="a.b", code="odd", status=499, retry_after_s=2, details={"n": 1})
    assert (error.message, error.param, error.code, error.status) == ("no", "a.b", "odd", 499)
    assert (error.retry_after_s, error.details) == (2, {"n": 1})
    assert errors.ClockExpired("gap_s", 15).clock == "gap_s"
    assert "pip install 'wye[local]'" in errors.MissingExtra("A local model", "local").message


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (404, False), (408, True), (429, True), (500, True)])
def test_an_upstreams_refusal_says_whether_another_try_may_help(status: int, retryable: bool) -> None:
    assert errors.UpstreamRefused("x", status=status).retryable is retryable
