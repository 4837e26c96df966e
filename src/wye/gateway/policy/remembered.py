"""`session_id` on a chat request of any dialect: what was said before goes before it, and the turn is kept after it.

A turn is the words of the user and the text that answers them. What is called on the way, pictures, files and thoughts
are not kept; a request that brings the results of tools says its whole turn again, until a text ends it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import msgspec

from wye.canon.fold import Fold
from wye.canon.parts import Text, ToolCall
from wye.canon.request import ChatRequest
from wye.canon.request import Message as Said
from wye.canon.response import ChatResponse
from wye.dialects.dialect import StreamDecoder
from wye.gateway.exchange import Exchange, ListenedStream, Outlet, Stream, Whole
from wye.gateway.policy.reword import reword, said_in
from wye.kernel import clock
from wye.kernel.errors import BadRequest, NotFound, WyeError
from wye.kernel.json import Raw, decode, decode_answer, encode
from wye.ports.store import MAX_MESSAGE, Message, Session, Sessions, StoreAway

MEMBER = "session_id"
HEADER = b"x-wye-session"
"""The same for clients that cannot add members to a body."""
_MAX_CHARACTERS = 200_000
"""Of what was said before: about 50,000 tokens."""
_CHARACTERS_A_TOKEN = 3
_HEARD_BYTES = 32 * 1024 * 1024
"""Of one answer: a text of the largest size, streamed a word at a time, is a tenth of it."""
_COMPLETE = ("stop", "length")
log = logging.getLogger("wye")

Open = Callable[[], Awaitable[Sessions]]


class Turn:
    """One request of a session, and what is kept of it once it is answered."""

    def __init__(self, sessions: Sessions, session: Session, exchange: Exchange, asked: list[Message]) -> None:
        self._sessions = sessions
        self._session = session
        self._exchange = exchange
        self._asked = asked

    async def keep_whole(self, answer: Whole) -> Whole:
        try:
            response = self._exchange.speaks.decode_response(decode_answer(answer.body))
        except WyeError:  # what the caller makes of it is the caller's
            return answer
        await self.keep(response)
        return answer

    def keep_stream(self, stream: Stream) -> Stream:
        return _TurnStream(self, stream, self._exchange.speaks.stream_decoder())

    async def keep(self, response: ChatResponse) -> None:
        """The answer has been given: that it cannot be kept is for the log."""
        text = _answered(response)
        if not text:
            return
        now_s = clock.wall_s()
        said = [*self._asked, Message(role="assistant", content=text[:MAX_MESSAGE], created_s=now_s)]
        try:
            await self._sessions.say(self._session.id, said, expires_s=self._session.prolonged_s(now_s))
        except StoreAway as error:
            log.warning("%s: a turn of %s is lost: %s", self._exchange.request_id, self._session.id, error.message)


async def resume(exchange: Exchange, open_sessions: Open, window: int | None) -> Turn | None:
    """Put what was said in the session before the request's own words, as far as there is room in a model of so many
    tokens, the latest first. None where the request names no session. Raises BadRequest, NotFound, StoreAway."""
    session_id = _session_id(exchange)
    if session_id is None:
        return None
    for other in ("previous_response_id", "background"):
        if bytes(exchange.members.get(other, b"null")) not in (b"null", b"false"):
            raise BadRequest(f"{MEMBER} and {other} cannot be used together", param=MEMBER)
    request = said_in(exchange)
    sessions = await open_sessions()
    session = await sessions.get(exchange.principal, session_id)
    if session is None:
        raise NotFound(f"Session '{session_id[:100]}' not found", param=MEMBER, code="session_not_found")
    room = _MAX_CHARACTERS
    if window is not None:  # a quarter of it is for the answer
        room = min(room, max(0, window * 3 // 4 * _CHARACTERS_A_TOKEN - len(exchange.body)))
    before = _whole_turns(await sessions.messages(session.id, room))
    try:
        reword(exchange, request, partial(_with_earlier, before))
    except BadRequest as error:
        reason = f"What was said in the session cannot be said in this format: {error.message}"
        raise BadRequest(reason, param=MEMBER) from None
    return Turn(sessions, session, exchange, _asked(request))


def _session_id(exchange: Exchange) -> str | None:
    raw = exchange.members.pop(MEMBER, None)
    if raw is None:
        header = exchange.headers.get(HEADER)
        return header.decode("latin-1") if header else None
    exchange.body = encode(exchange.members)
    value = decode(Raw(raw))
    if value is not None and not (isinstance(value, str) and value):
        raise BadRequest(f"{MEMBER} must be the id of a session, as POST /v1/sessions gives it", param=MEMBER)
    return value


def _whole_turns(messages: Iterable[Message]) -> list[Message]:
    """From the first words of a user on: an answer without its question says nothing."""
    kept: list[Message] = []
    asked = False
    for message in messages:
        asked = asked or message.role == "user"
        if asked or message.role == "system":
            kept.append(message)
    return kept


def _with_earlier(before: list[Message], request: ChatRequest) -> ChatRequest:
    """Instructions first: the request's own, then the session's."""
    own = request.messages
    heads = next((i for i, said in enumerate(own) if said.role not in ("system", "developer")), len(own))
    earlier = sorted((Said(m.role, [Text(m.content)]) for m in before), key=lambda said: said.role != "system")
    return msgspec.structs.replace(request, messages=[*own[:heads], *earlier, *own[heads:]])


def _asked(request: ChatRequest) -> list[Message]:
    """The words that are new, without instructions: those come with each request, or are the session's."""
    now_s = clock.wall_s()
    return [
        Message(role=said.role, content=text[:MAX_MESSAGE], created_s=now_s)
        for said in request.messages
        if said.role in ("user", "assistant") and (text := _text(said.parts))
    ]


def _answered(response: ChatResponse) -> str:
    """The text that ends the turn; "" where none does."""
    choice = response.choices[0] if response.choices else None
    if choice is None or choice.finish_reason not in _COMPLETE or any(isinstance(p, ToolCall) for p in choice.parts):
        return ""
    return _text(choice.parts)


def _text(parts: Iterable[object]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, Text) and part.text)


class _TurnStream(ListenedStream):
    """A stream that is heard as its caller hears it."""

    def __init__(self, turn: Turn, stream: Stream, decoder: StreamDecoder) -> None:
        super().__init__(stream)
        self._turn = turn
        self._decoder = decoder

    async def relay(self, outlet: Outlet) -> None:
        heard = _Heard(outlet, self._decoder)
        try:
            await self._stream.relay(heard)
            for event in self._decoder.close():
                heard.fold.add(event)
        finally:
            # Clients leave as soon as they have heard the end, which cancels this.
            if heard.fold.ended and heard.fold.failure is None and not self.failed:
                await asyncio.shield(self._turn.keep(heard.fold.response()))


class _Heard(Outlet):
    def __init__(self, outlet: Outlet, decoder: StreamDecoder) -> None:
        self.fold = Fold()
        self.drained = outlet.drained
        self._outlet = outlet
        self._decoder = decoder
        self._left = _HEARD_BYTES

    def say(self, data: bytes) -> bool:
        self._left -= len(data)
        if self._left >= 0:  # of what is longer the end is not heard: it is not kept
            for event in self._decoder.feed(data):
                self.fold.add(event)
        return self._outlet.say(data)
