"""What one replica learns of a deployment, the others hear: who is cooling down, who is limited, who is well again.

Each replica decides for itself, in memory; only changes are told, so that a call costs nothing more. A replica that
begins, or that was cut off, asks the others to say again what they know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from wye.gateway.deployment import Route
from wye.gateway.routing.health import Health
from wye.kernel import clock
from wye.kernel.ids import new_id
from wye.ports.state import State, StateAway


class _News(msgspec.Struct, omit_defaults=True):
    replica: str
    deployment: str = ""
    """Its route and its place there; empty asks everybody to tell."""
    open_s: float = 0.0
    limited_s: float = 0.0
    exhausted_s: float = 0.0
    error: str | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_News).decode


class SharedHealth:
    def __init__(self, state: State, routes: Iterable[Route], namespace: str = "wye") -> None:
        self._state = state
        self._topic = f"{namespace}:health"
        self._replica = new_id("replica_")
        self._telling: set[asyncio.Task[None]] = set()
        self._known: dict[str, Health] = {}
        for route in routes:
            for place, deployment in enumerate(route.deployments):
                name = f"{route.name}#{place}:{deployment.id}"
                self._known[name] = deployment.health
                deployment.health.changed = lambda name=name: self._tell(name)

    def start(self) -> None:
        self._state.subscribe(self._topic, self._hear, self._begun)

    def _begun(self) -> None:
        """Tell all that is known here, and ask for what others know."""
        self._tell_all()
        self._publish(_News(self._replica))

    def _tell_all(self) -> None:
        now_s = clock.monotonic_s()
        for name, health in self._known.items():
            if health.state(now_s) != "ok":
                self._tell(name)

    def _tell(self, name: str) -> None:
        health, now_s = self._known[name], clock.monotonic_s()
        open_s = max(0.0, health.open_until_s - now_s)
        limited_s = max(0.0, health.limited_until_s - now_s)
        exhausted_s = max(0.0, health.exhausted_until_s - now_s)
        self._publish(_News(self._replica, name, open_s, limited_s, exhausted_s, health.last_error))

    def _hear(self, message: bytes) -> None:
        try:
            news = _decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return  # what another version says otherwise
        if news.replica == self._replica:
            return
        if not news.deployment:
            self._tell_all()
        elif (health := self._known.get(news.deployment)) is not None:
            health.hear(news.open_s, news.limited_s, news.exhausted_s, news.error, clock.monotonic_s())

    def _publish(self, news: _News) -> None:
        task = asyncio.get_running_loop().create_task(self._say(_encode(news)))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _say(self, message: bytes) -> None:
        try:
            await self._state.publish(self._topic, message)
        except StateAway:
            return  # told again when it is back
