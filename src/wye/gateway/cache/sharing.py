"""One answer under way, heard at every replica: the one that asks has a lease and tells; the others listen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from wye.canon.events import Failure
from wye.gateway.cache.entry import Broken, Said, decode_said, encode_said, kept
from wye.gateway.cache.live import Live
from wye.gateway.deployment import Deployment
from wye.kernel import clock
from wye.kernel.errors import StreamCut, UpstreamRefused, WyeError
from wye.kernel.ids import new_id
from wye.ports.state import State, StateAway

_LEASE_S = 4.0
_RENEWED_S = 1.0
_LISTENS_EVERY_S = 0.02
_SILENT_S = 0.5
"""After so long without a word a listener looks whether the teller still has its lease."""
_PATIENCE_S = 10.0
"""How long a listener that heard a beginning waits for a state that is away, and a teller for one to hear its end."""
_KEPT_S = 60.0
"""How long what was said can be heard."""


class Sharing:
    def __init__(self, state: State, prefix: str) -> None:
        self._state = state
        self._prefix = prefix
        self._tellers: set[asyncio.Task[None]] = set()

    async def lead(self, key: str) -> Run | None:
        """The right to ask, to be told with `tell`; None when another replica has it. Alone, or with the state away,
        everybody has it."""
        run = Run(new_id("run"))
        if self._state.shared:
            try:
                if not await self._state.acquire(self._lease(key), run.id, _LEASE_S):
                    return None
                await self._state.delete(self._said(key))
                run.shared = True
            except StateAway:
                pass
        return run

    def tell(self, key: str, live: Live, run: Run) -> None:
        """Tell the others, in the background, until the answer is over."""
        if run.shared:
            task = asyncio.create_task(self._tell(key, live, run.id))
            self._tellers.add(task)
            task.add_done_callback(self._tellers.discard)

    async def _tell(self, key: str, live: Live, run: str) -> None:
        """Piece by piece, and an empty one now and then: so a state that lost what it had heard is soon noticed."""
        said: list[bytes] = []
        position = heard = 0
        renewed_s = over_s = clock.monotonic_s()
        done = False
        while not done or heard < len(said):
            if not done and (live.opened or live.done):
                done = live.done
                said.append(encode_said(_piece(live, run, position, first=not said)))
                position = len(live.events)
                over_s = clock.monotonic_s()
            try:
                if clock.monotonic_s() - renewed_s > _RENEWED_S:
                    renewed_s = clock.monotonic_s()
                    if not await self._state.acquire(self._lease(key), run, _LEASE_S):
                        return  # the state was away for long, and somebody else asks now
                if heard < len(said):
                    length = await self._state.append(self._said(key), said[heard:], _KEPT_S)
                    if length != len(said):  # the state came back without what it had heard
                        await self._state.delete(self._said(key))
                        await self._state.append(self._said(key), said, _KEPT_S)
                    heard = len(said)
            except StateAway:
                heard = 0  # it may come back without what it knew: all is told again
                if done and clock.monotonic_s() - over_s > _PATIENCE_S:
                    return
                await asyncio.sleep(_SILENT_S)
            if not done:
                await _soon(live)
        with suppress(StateAway):
            await self._state.release(self._lease(key), run)

    async def hear(self, key: str, live: Live, deployment_of: Callable[[str | None], Deployment | None]) -> bool:
        """Hear what another replica is told, to its end. False when it fell silent before it began: ask yourself.

        Raises WyeError when it failed.
        """
        run: str | None = None
        position = 0
        word_s = looked_s = clock.monotonic_s()
        while True:
            try:
                items = await self._state.items(self._said(key), position)
                now_s = clock.monotonic_s()
                if items:
                    word_s = now_s
                elif now_s - max(word_s, looked_s) > _SILENT_S:
                    looked_s = now_s
                    mine = new_id("run")
                    if await self._state.acquire(self._lease(key), mine, _LEASE_S):
                        await self._state.release(self._lease(key), mine)
                        if not live.opened:
                            return False
                        if now_s - word_s > _PATIENCE_S:
                            raise StreamCut("The replica that asked the upstream is gone")
            except StateAway:
                if not live.opened:
                    return False
                if clock.monotonic_s() - word_s > _PATIENCE_S:
                    raise StreamCut("The shared state is away, and with it the rest of the answer") from None
                items = []
            for item in items:
                position += 1
                said = decode_said(item)
                if said is None or (run is not None and said.run != run):
                    raise StreamCut("The answer under way at another replica cannot be followed")
                run = said.run
                if not live.opened and not (said.error and not said.events):
                    live.open(deployment_of(said.deployment), said.attempts, said.losses)
                live.hear([*said.events])
                if said.error is not None:
                    raise _error(said.error)
                if said.end:
                    return True
            await asyncio.sleep(_LISTENS_EVERY_S)

    def _lease(self, key: str) -> str:
        return f"{self._prefix}{key}:lease"

    def _said(self, key: str) -> str:
        return f"{self._prefix}{key}:said"


class Run:
    """One telling."""

    def __init__(self, run_id: str) -> None:
        self.id = run_id
        self.shared = False


def _piece(live: Live, run: str, position: int, *, first: bool) -> Said:
    events = live.events[position:]
    broken = live.failure or next((event.error for event in events if isinstance(event, Failure)), None)
    return Said(
        run=run,
        events=kept(events),
        deployment=live.deployment.id if first and live.deployment is not None else None,
        attempts=live.attempts if first else 0,
        losses=list(live.losses) if first else [],
        end=live.done,
        error=_broken(broken) if broken is not None else None,
    )


def _broken(error: BaseException) -> Broken:
    if isinstance(error, WyeError):
        return Broken(error.status, error.code, error.message, error.retry_after_s)
    return Broken(500, "internal_error", "The replica that asked the upstream failed")


def _error(broken: Broken) -> WyeError:
    return UpstreamRefused(broken.message, status=broken.status, code=broken.code, retry_after_s=broken.retry_after_s)


async def _soon(live: Live) -> None:
    """Return when something has happened, or it is time to renew the lease."""
    with suppress(TimeoutError):
        await asyncio.wait_for(live.more(), _RENEWED_S)
