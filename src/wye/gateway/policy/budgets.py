"""Money that a key may spend, in all or for one model, and that a route may cost for all callers together: reserved
before a call, settled with what it cost.

What is spent is known by the ledger; counts go on from there, and are told again where they were forgotten. While the
ledger is away, counts that are known are kept, and those that are not bind nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    principal: str | None
    """Whose calls it counts, and of which model; None stands for any."""
    model: str | None


class Spending(msgspec.Struct, frozen=True):
    """What a call was granted."""

    quotas: list[Quota]
    micro_usd: int
    held: Held


class RouteSpending(msgspec.Struct, frozen=True):
    """The budget of a route, and what its calls cost so far in the period that is now."""

    budget: Budget
    spent_micro_usd: int | None
    """None while the ledger is away."""


class Budgets:
    def __init__(
        self,
        keys: IssuedKeys | None,
        routes: Mapping[str, Budget],
        ledger: Ledger,
        prices: Prices,
        counts: Counts,
        namespace: str,
    ) -> None:
        """Those of issued keys, and those of routes by their names."""
        self._keys = keys
        self._routes = routes
        self._ledger = ledger
        self._prices = prices
        self._counts = counts
        self._prefix = f"{namespace}:budget:"

    async def reserve(
        self, principal: str, model: str, deployments: list[Deployment], input_tokens: int, output_tokens: int
    ) -> Spending | None:
        """Take what so many tokens cost at the dearest of those who may answer; None where nothing bounds it.

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
            told = await self._told(bounds[grant.unknown])
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

    async def of_routes(self) -> dict[str, RouteSpending]:
        """What routes with a budget cost so far, as the ledger knows it."""
        found: dict[str, RouteSpending] = {}
        for name, budget in self._routes.items():
            try:
                found[name] = RouteSpending(budget, await spent_micro_usd(self._ledger, budget, None, name))
            except StoreAway:
                found[name] = RouteSpending(budget, None)
        return found

    def _bounds(self, principal: str, model: str) -> list[_Bound]:
        key = self._keys.of(principal) if self._keys is not None else None
        found: list[tuple[Budget | None, str | None, str | None]] = [(self._routes.get(model), None, model)]
        if key is not None:
            found += [(key.budget, principal, None), (key.route_budgets.get(model), principal, model)]
        return [self._bound(budget, *of) for budget, *of in found if budget is not None]

    def _bound(self, budget: Budget, principal: str | None, model: str | None) -> _Bound:
        begun, end = period(budget, datetime.fromtimestamp(clock.wall_s(), UTC))
        name = f"{self._prefix}{principal or 'route'}:{model or ''}:{begun.date().isoformat()}:{budget.period}"
        each = "in all" if budget.period == "total" else f"each {budget.period}"
        if principal is None:
            said = f"'{model}' may cost {format_usd(budget.micro_usd)} {each} for all callers together"
        else:
            said = f"This key may spend {format_usd(budget.micro_usd)} {each}" + (f" on '{model}'" if model else "")
        quota = Quota(name, budget.micro_usd, KNOWN_S, refills=False, start=None)
        return _Bound(quota, said, begun.timestamp(), end.timestamp() if end else None, principal, model)

    async def _told(self, bound: _Bound) -> _Bound | None:
        """With what was spent of it so far; None while that cannot be known."""
        try:
            spent = await self._ledger.spent_micro_usd(bound.since_s, bound.principal, bound.model)
        except StoreAway:
            return None
        return replace(bound, quota=replace(bound.quota, start=spent))


async def spent_micro_usd(ledger: Ledger, budget: Budget, principal: str | None, model: str | None) -> int:
    """What is spent of it in the period that is now. Raises StoreAway."""
    begun, _ = period(budget, datetime.fromtimestamp(clock.wall_s(), UTC))
    return await ledger.spent_micro_usd(begun.timestamp(), principal, model)


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


def period(budget: Budget, now: datetime) -> tuple[datetime, datetime | None]:
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
