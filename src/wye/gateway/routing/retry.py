"""After a failed attempt: who is asked next, and when."""

from __future__ import annotations

import random

from wye.dialects.refusal import CONTEXT_LENGTH_EXCEEDED
from wye.gateway.deployment import Deployment
from wye.kernel.errors import CapacityError, ClockExpired, ConnectFailed, UpstreamError, WyeError

MAX_ATTEMPTS = 6
"""Of one call, at all deployments."""
MAX_WAIT_S = 10.0
"""A caller is not kept waiting longer than this for another attempt: it is told to come back."""
_FIRST_BACK_OFF_S = 0.3
_MAX_BACK_OFF_S = 4.0

_random = random.Random()  # noqa: S311 - jitter is no secret


class Retry:
    """The attempts of one call. `plan` are the deployments in order of preference."""

    def __init__(self, plan: list[Deployment], retries: int) -> None:
        self.deployment = plan[0]
        """Who is asked."""
        self.attempts = 0
        self._plan = plan
        self._retries = retries
        self._tries: dict[int, int] = {}
        self._too_small: set[str] = set()

    def after(self, error: WyeError, now_s: float) -> float:
        """Choose who is asked after that failure; gives back how long to wait before. Raises the error when nobody is.

        Another deployment goes before the same one again. A fallback (weight 0) waits until the same one was given a
        second chance, where the failure looks like a stumble.
        """
        failed = self.deployment
        self.attempts += 1
        tries = self._tries[id(failed)] = self._tries.get(id(failed), 0) + 1
        if self.attempts >= MAX_ATTEMPTS:
            raise error
        others = [d for d in self._plan if id(d) not in self._tries and d.health.may_answer(now_s)]
        others.sort(key=lambda d: not d.health.usable(now_s))
        if error.code == CONTEXT_LENGTH_EXCEEDED:
            self._too_small.add(failed.model)
            others = [d for d in others if d.model not in self._too_small and _holds_more(d, failed)]
            if not others:
                raise error
            self.deployment = others[0]
            return 0.0
        if not _may_go_elsewhere(error):
            raise error
        equals = [d for d in others if d.weight > 0 and d.health.usable(now_s)]
        again = tries <= self._retries and _may_go_again(error)
        if equals:
            self.deployment = equals[0]
            return 0.0
        if again and (not others or (tries == 1 and _is_a_stumble(error))):
            wait_s = self._back_off_s(error)
            if wait_s <= MAX_WAIT_S:
                return wait_s
        if others:
            self.deployment = others[0]
            return 0.0
        raise error

    def _back_off_s(self, error: WyeError) -> float:
        """Doubled each time, with jitter: callers that failed together must not come back together."""
        back_off_s = min(_FIRST_BACK_OFF_S * 2 ** (self._tries[id(self.deployment)] - 1), _MAX_BACK_OFF_S)
        return max(back_off_s * (0.75 + _random.random() / 2), error.retry_after_s or 0.0)


def _may_go_elsewhere(error: WyeError) -> bool:
    """Whether another deployment may do better: not with a request that is wrong in itself."""
    if isinstance(error, UpstreamError):
        return error.retryable or error.status in (401, 403, 404)
    return isinstance(error, CapacityError)


def _may_go_again(error: WyeError) -> bool:
    """Whether the same deployment may do better. One that was silent has had its time."""
    return isinstance(error, UpstreamError) and error.retryable and not isinstance(error, ClockExpired)


def _is_a_stumble(error: WyeError) -> bool:
    return error.status == 500 or (error.status == 502 and not isinstance(error, ConnectFailed))


def _holds_more(other: Deployment, failed: Deployment) -> bool:
    """Or may hold more, where one of the two figures is not known."""
    return other.context_length is None or failed.context_length is None or other.context_length > failed.context_length
