"""Money that a key may spend, in all or for one model: reserved before a call, settled with what it cost.

What is spent is known by the ledger; counts go on from there, and are told again where they were forgotten. While the
ledger is away, counts that are known are kept, and those that are not bind nobody.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from wye.canon.usage import Usage
from wye.gateway.deployment import Deployment
from wye.gateway.policy.counts import KNOWN_S, Counts, Held
from wye.gateway.policy.issued_keys import IssuedKeys
from wye.gateway.policy.prices import Prices
from wye.kernel import clock
from wye.kernel.errors import LimitExceeded
from wye.kernel.json import JsonError, Raw, as_object, decode
from wye.kernel.money import format_usd
from wye.ports.keys import Budget
from wye.ports.ledger import Ledger
from wye.ports.quota import Quota
from wye.ports.store import StoreAway

OUTPUT_TOKENS = 1000
"""What is reserved of a call that does not say how long its answer may be."""
_NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample", "max_gen_len")
_INSIDE = (("inferenceConfig", "maxTokens"), ("textGenerationConfig", "maxTokenCount"))


class _Bound(msgspec.Struct, frozen=True):
    """A budget at this time."""

    quota: Quota
    said: str
    """In words, for whoever is refused."""
    since_s: float
    until_s: float | None
    """When it begins anew; None for never."""
    model: str | None


class Spending(msgspec.Struct, frozen=True):
    """What a call was granted."""

    quotas: list[Quota]
    micro_usd: int
    held: Held


class Budgets:
    def __init__(self, keys: IssuedKeys, ledger: Ledger, prices: Prices, counts: Counts, namespace: str) -> None:
        self._keys = keys
        self._ledger = ledger
        self._prices = prices
        self._counts = counts
        self._prefix = f"{namespace}:budget:"

    async def reserve(
        self, principal: str, model: str, deployments: list[Deployment], input_tokens: int, output_tokens: int
    ) -> Spending | None:
        """Take what so many tokens cost at the dearest of those who may answer; None for a key without budgets.

        Raises LimitExceeded, and then takes nothing.
        """
        bounds = self._bounds(principal, model)
        if not bounds:
            return None
        micro_usd = self._prices.estimate_micro_usd(deployments, input_tokens, output_tokens)
        while bounds:
            quotas, amounts = [bound.quota for bound in bounds], [micro_usd] * len(bounds)
            grant, held = await self._counts.reserve(quotas, amounts)
            if grant.refused is not None:
                raise _refusal(bounds[grant.refused])
            if grant.unknown is None:
                return Spending(quotas, micro_usd, held)
            told = await self._told(bounds[grant.unknown], principal)
            bounds[grant.unknown : grant.unknown + 1] = [told] if told is not None else []
        return None

    def settle(self, spending: Spending, deployment: Deployment | None, usage: Usage | None, *, paid: bool) -> None:
        """Take what a call cost at the deployment that answered. Without figures what was reserved stands; nothing
        where nobody answered, or where the answer is `paid` for."""
        if deployment is None or paid:
            micro_usd = 0
        elif usage is None:
            micro_usd = spending.micro_usd
        else:
            micro_usd = self._prices.cost_micro_usd(deployment.provider.name, deployment.model, usage)
        each = len(spending.quotas)
        self._counts.settle(spending.quotas, [spending.micro_usd] * each, [micro_usd] * each, spending.held)

    def _bounds(self, principal: str, model: str) -> list[_Bound]:
        key = self._keys.of(principal)
        if key is None or (key.budget is None and not key.route_budgets):
            return []
        now = datetime.fromtimestamp(clock.wall_s(), UTC)
        found = [self._bound(key.budget, principal, None, now)] if key.budget is not None else []
        own = key.route_budgets.get(model)
        return [*found, self._bound(own, principal, model, now)] if own is not None else found

    def _bound(self, budget: Budget, principal: str, model: str | None, now: datetime) -> _Bound:
        begun, end = _period(budget, now)
        name = f"{self._prefix}{principal}:{model or ''}:{begun.date().isoformat()}:{budget.period}"
        each = "in all" if budget.period == "total" else f"each {budget.period}"
        said = f"This key may spend {format_usd(budget.micro_usd)} {each}" + (f" on '{model}'" if model else "")
        quota = Quota(name, budget.micro_usd, KNOWN_S, refills=False, start=None)
        return _Bound(quota, said, begun.timestamp(), end.timestamp() if end else None, model)

    async def _told(self, bound: _Bound, principal: str) -> _Bound | None:
        """With what was spent of it so far; None while that cannot be known."""
        try:
            spent = await self._ledger.spent_micro_usd(bound.since_s, principal, bound.model)
        except StoreAway:
            return None
        return replace(bound, quota=replace(bound.quota, start=spent))


def output_limit(members: dict[str, Raw]) -> int:
    """How long an answer may be, in tokens, by a request's own words."""
    for name in _NAMES:
        if isinstance(found := _value(members.get(name)), int):
            return max(0, found)
    for outer, inner in _INSIDE:
        section = as_object(_value(members.get(outer)))
        if section is not None and isinstance(found := section.get(inner), int):
            return max(0, found)
    return OUTPUT_TOKENS


def _value(raw: Raw | None) -> object:
    try:
        return decode(raw) if raw is not None else None
    except JsonError:
        return None


def _period(budget: Budget, now: datetime) -> tuple[datetime, datetime | None]:
    """The beginning and the end of the one that is now."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    match budget.period:
        case "day":
            return midnight, datetime.fromtimestamp(midnight.timestamp() + 86400, UTC)
        case "month":
            first = midnight.replace(day=1)
            return first, first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        case "total":
            return datetime.fromtimestamp(0, UTC), None


def _refusal(bound: _Bound) -> LimitExceeded:
    if bound.until_s is None:
        return LimitExceeded(f"{bound.said}, and that is spent or reserved", code="budget_exceeded")
    until = datetime.fromtimestamp(bound.until_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return LimitExceeded(
        f"{bound.said}, and that is spent or reserved until {until}",
        code="budget_exceeded",
        retry_after_s=bound.until_s - clock.wall_s(),
    )
