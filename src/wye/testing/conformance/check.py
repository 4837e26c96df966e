"""What a check is, and how checks are run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import msgspec

from wye.kernel import clock
from wye.testing.conformance.target import Answer, Target

Verdict = Literal["passed", "failed", "skipped"]


class Skipped(Exception):
    """A check that cannot be made here; the message says why."""


class NotServed(Skipped):
    """The server does not have this format at all."""


class Check(msgspec.Struct, frozen=True):
    area: str
    """The format that is spoken."""
    topic: str
    """answer, stream, tools, usage, errors, cancellation."""
    name: str
    """What is right, in a few words."""
    run: Callable[[Target], None]
    """Raises AssertionError that says what is wrong, Skipped."""


class Result(msgspec.Struct, frozen=True):
    area: str
    topic: str
    name: str
    verdict: Verdict
    detail: str
    took_s: float


def run(checks: Iterable[Check], target: Target) -> Iterator[Result]:
    """Each result as it is known. After the first check of a format whose path is not there, its others are skipped."""
    absent: dict[str, str] = {}
    for check in checks:
        began_s = clock.monotonic_s()
        verdict: Verdict = "passed"
        detail = absent.get(check.area, "")
        if detail:
            verdict = "skipped"
        else:
            try:
                check.run(target)
            except AssertionError as error:
                verdict, detail = "failed", str(error)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                # What the server says is anybody's guess: a check may look for a member where there is none.
                verdict, detail = "failed", f"the answer has another form: {type(error).__name__} {error}"
            except Skipped as error:
                verdict, detail = "skipped", str(error)
                if isinstance(error, NotServed):
                    absent[check.area] = detail
        yield Result(check.area, check.topic, check.name, verdict, detail[:500], clock.monotonic_s() - began_s)


def demand(condition: bool, fault: str) -> None:
    """Raises AssertionError, as `assert` does, which `python -O` leaves out."""
    if not condition:
        raise AssertionError(fault)


def good(answer: Answer, *, first: bool = False) -> Answer:
    """An answer of status 200. Raises NotServed when the first of its format has no such path."""
    if first and answer.status in (404, 405, 501) and b"model" not in answer.body.lower():
        raise NotServed(f"the server answers {answer.status}: it does not have this path")
    demand(answer.status == 200, f"the status must be 200, and is {answer.status}: {answer.body[:200]!r}")
    return answer


def refused(answer: Answer, *statuses: int) -> Answer:
    told = " or ".join(map(str, statuses))
    demand(answer.status in statuses, f"the status must be {told}, and is {answer.status}: {answer.body[:120]!r}")
    return answer


def frames(answer: Answer) -> bytes:
    """The bytes of a good stream of server-sent events, whose framing is as every client can read it."""
    good(answer)
    demand(
        answer.content_type == "text/event-stream", f"content-type must be text/event-stream: {answer.content_type!r}"
    )
    data = answer.body.replace(b"\r\n", b"\n")
    demand(bool(data), "the stream is empty")
    demand(data.endswith(b"\n\n"), f"the last frame is not ended by an empty line: {data[-60:]!r}")
    for frame in data.split(b"\n\n")[:-1]:
        lines = frame.strip(b"\n").split(b"\n")
        names = [line.partition(b":")[0] for line in lines]
        known = all(name in (b"data", b"event", b"id", b"retry", b"") for name in names)
        demand(known, f"a line is no field of an event: {frame[:80]!r}")
        datas = [line for line in lines if line.startswith(b"data:")]
        demand(len(datas) <= 1, f"frames are not parted by an empty line: {frame[:120]!r}")
    return data


def leave(target: Target, path: str, body: object, again: Callable[[], Answer]) -> None:
    """Go away in the middle of a stream; the server must go on to answer."""
    connection, response = target.begin("POST", path, body)
    try:
        kind = response.headers.get("content-type", "")
        streams = response.status == 200 and kind.startswith(
            ("text/event-stream", "application/vnd.amazon.eventstream")
        )
        demand(streams, f"no stream came, but status {response.status} and {kind!r}")
        demand(bool(response.read(10)), "the stream is empty")
    finally:
        connection.close()
    good(again())
