"""Whether a deployment can be asked at this moment, from what it did before."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from wye.gateway.routing.rate_limits import exhausted_for_s
from wye.kernel.errors import QueueFull, UpstreamError, WyeError
from wye.ports.transport import HeaderMap

_WEIGHT_OF_THE_LATEST = 0.3
_KNOWN_FOR_S = 60.0


class Health:
    """A circuit breaker: closed until `allowed_fails` calls in a row failed, then open for `cooldown_s`, then half
    open: one call may try, and what becomes of it decides. Beside that, the upstream's own word that it has had enough.
    """

    __slots__ = (
        "allowed_fails",
        "changed",
        "cooldown_s",
        "exhausted_until_s",
        "fails",
        "last_error",
        "latency_s",
        "limited_until_s",
        "measured_s",
        "open_until_s",
        "probe_until_s",
        "running",
    )

    def __init__(self, allowed_fails: int | None = None, cooldown_s: float = 30.0) -> None:
        """Without `allowed_fails` the circuit never opens."""
        self.allowed_fails = inf if allowed_fails is None else allowed_fails
        self.cooldown_s = cooldown_s
        self.fails = 0
        """In a row."""
        self.running = 0
        self.latency_s: float | None = None
        """To the beginning of an answer, on average, the latest counting most."""
        self.measured_s = -inf
        """When it was last measured."""
        self.open_until_s = 0.0
        """On the monotonic clock; 0 while the circuit is closed."""
        self.probe_until_s = 0.0
        """While a call tries. One that has learnt nothing for `cooldown_s` keeps others waiting no longer."""
        self.limited_until_s = 0.0
        """It has refused a call until then."""
        self.exhausted_until_s = 0.0
        """By the figures in its answers nothing is left until then."""
        self.last_error: str | None = None
        self.changed: Callable[[], None] | None = None
        """Called when it can be asked no longer, or again."""

    def usable(self, now_s: float) -> bool:
        return now_s >= self.exhausted_until_s and self.may_answer(now_s)

    def may_answer(self, now_s: float) -> bool:
        """Whether to ask it where nobody else can be asked: figures tell when all is there again, which is later than
        when one call is."""
        if now_s < self.limited_until_s:
            return False
        return not self.open_until_s or now_s >= max(self.open_until_s, self.probe_until_s)

    def usable_in_s(self, now_s: float) -> float:
        """How long until it may be asked again."""
        closed_until_s = max(self.open_until_s, self.probe_until_s)
        return max(0.0, self.limited_until_s - now_s, self.exhausted_until_s - now_s, closed_until_s - now_s)

    def state(self, now_s: float) -> str:
        """For people: `ok`, `limited`, `cooling_down` or `probing`."""
        if now_s < max(self.limited_until_s, self.exhausted_until_s):
            return "limited"
        if not self.open_until_s:
            return "ok"
        return "cooling_down" if now_s < self.open_until_s else "probing"

    def why(self, name: str, now_s: float) -> str:
        """Why it is not asked, in a few words for people."""
        reason = self.last_error or "its limit is reached"
        return f"{name} is {self.state(now_s).replace('_', ' ')} for {self.usable_in_s(now_s):.1f} s ({reason})"

    def begin(self, now_s: float) -> None:
        """A call begins: if the circuit is half open, it is the one that tries."""
        self.running += 1
        if self.open_until_s:
            self.probe_until_s = now_s + self.cooldown_s

    def answered(self, latency_s: float, now_s: float) -> None:
        """An answer has begun well."""
        self.fails = 0
        if self.open_until_s:
            self.open_until_s = 0.0
            self._tell()
        self.probe_until_s = 0.0
        known = self.latency_s
        if known is not None and now_s - self.measured_s < _KNOWN_FOR_S:
            latency_s = known + _WEIGHT_OF_THE_LATEST * (latency_s - known)
        self.latency_s = latency_s
        self.measured_s = now_s

    def latency_known(self, now_s: float) -> float | None:
        """None too where it was measured so long ago that it may be different now."""
        return self.latency_s if now_s - self.measured_s < _KNOWN_FOR_S else None

    def failed(self, error: WyeError, now_s: float) -> None:
        """A call failed for a reason of the deployment's own."""
        self.last_error = f"{error.status} {error.code}: {error.message}"[:300]
        if error.status == 429 and error.retry_after_s is not None:
            self.limited_until_s = max(self.limited_until_s, now_s + error.retry_after_s)
            self.probe_until_s = 0.0
            self._tell()
            return
        self.fails += 1
        if self.probe_until_s or self.fails >= self.allowed_fails:
            self.open_until_s = now_s + self.cooldown_s
            self._tell()
        self.probe_until_s = 0.0

    def end(self) -> None:
        """A call is over, however it ended. Of a probe whose caller left nothing was learnt: another may try."""
        self.running -= 1
        if self.probe_until_s and not self.running:
            self.probe_until_s = 0.0

    def read(self, headers: HeaderMap, now_s: float) -> None:
        """What an answer's headers say of the upstream's limits."""
        if wait_s := exhausted_for_s(headers):
            self.exhausted_until_s = max(self.exhausted_until_s, now_s + wait_s)
            self._tell()

    def hear(self, open_s: float, limited_s: float, exhausted_s: float, error: str | None, now_s: float) -> None:
        """What another replica found: for how long it is to be left alone; 0 for all means that it is well again."""
        self.last_error = error or self.last_error
        self.limited_until_s = now_s + limited_s if limited_s else 0.0
        self.exhausted_until_s = now_s + exhausted_s if exhausted_s else 0.0
        if open_s:
            self.open_until_s = now_s + open_s
        elif not limited_s and not exhausted_s:
            self.open_until_s = 0.0
            self.fails = 0
        self.probe_until_s = 0.0

    def _tell(self) -> None:
        if self.changed is not None:
            self.changed()


def is_its_own_fault(error: WyeError) -> bool:
    """Whether a failure says something about the deployment, and not about the request."""
    if isinstance(error, QueueFull):
        return False
    return not isinstance(error, UpstreamError) or error.retryable or error.status in (401, 403, 404)
