"""The part of the composition root that lets calls in: who may call, how much, what it costs, what is written of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from wye.catalog.prices import Price, Rate, known_price
from wye.config.schema import Config, PriceConfig
from wye.config.sources import home_folder
from wye.drivers.disk.journal import DiskJournal
from wye.drivers.memory.quotas import MemoryQuotas
from wye.gateway.policy.auth import OWN_ACCESS_KEY_ID, Auth
from wye.gateway.policy.bookkeeping import Bookkeeper
from wye.gateway.policy.budgets import Budgets
from wye.gateway.policy.counts import Counts
from wye.gateway.policy.issued_keys import IssuedKeys
from wye.gateway.policy.limits import Limits
from wye.gateway.policy.local_limits import LocalLimiter
from wye.gateway.policy.prices import Prices
from wye.gateway.policy.shared_limits import SharedLimiter
from wye.gateway.settle import Settlement
from wye.kernel.errors import ConfigError, MissingExtra
from wye.kernel.money import MICRO_USD_PER_USD
from wye.kernel.secret import Secret
from wye.ports.keys import Budget
from wye.ports.state import State
from wye.ports.telemetry import Telemetry
from wye.providers.rows import ROWS

if TYPE_CHECKING:
    from wye.drivers.sql.database import Database


class Admission(NamedTuple):
    """Who may call, how much, and what is written of it."""

    auth: Auth
    settlement: Settlement
    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]


def make_admission(config: Config, state: State, telemetry: list[Telemetry]) -> Admission:
    """Raises ConfigError, MissingExtra. Nothing is made that is not used: no counts without limits, no database without
    issued keys, budgets of routes or a ledger."""
    namespace = config.cache.namespace
    limits = msgspec.convert(config.limits, Limits, from_attributes=True)
    counts = Counts(MemoryQuotas(), state, namespace)
    of_routes = route_budgets(config)
    writes = bool(config.keys.enabled or of_routes) if config.usage.ledger is None else config.usage.ledger
    if not (config.keys.enabled or of_routes or writes):
        limiter = _limiter(lambda principal: limits, counts, namespace) if limits != Limits() else None
        return Admission(make_auth(config), Settlement(limiter, telemetry), _nothing, counts.stop)
    from wye.drivers.sql.keys import SqlKeys  # noqa: PLC0415 - make_database has told of a missing extra
    from wye.drivers.sql.ledger import SqlLedger  # noqa: PLC0415

    database = make_database(config, _what_needs_it(config))
    ledger, prices = SqlLedger(database), make_prices(config, _what_needs_it(config))
    _demand_prices(config, prices)
    issued = IssuedKeys(SqlKeys(database), limits) if config.keys.enabled else None
    limiter = _limiter(issued.limits_of if issued is not None else lambda principal: limits, counts, namespace)
    bookkeeper = Bookkeeper(ledger, make_journal(config), prices) if writes else None
    budgets = Budgets(issued, of_routes, ledger, prices, counts, namespace) if issued or of_routes else None

    async def start() -> None:
        if bookkeeper is not None:
            await bookkeeper.start()

    async def stop() -> None:
        await counts.stop()
        if bookkeeper is not None:
            await bookkeeper.stop()
        await database.close()

    return Admission(make_auth(config, issued), Settlement(limiter, telemetry, budgets, bookkeeper), start, stop)


async def _nothing() -> None:
    """There is nothing to start."""


def make_journal(config: Config) -> DiskJournal:
    """Where entries of the ledger are until they are in the database, in Wye's home folder."""
    return DiskJournal(_home(config) / "journal")


def _limiter(limits_of: Callable[[str], Limits], counts: Counts, namespace: str) -> LocalLimiter | SharedLimiter:
    return SharedLimiter(limits_of, counts, namespace) if counts.shared else LocalLimiter(limits_of)


def route_budgets(config: Config) -> dict[str, Budget]:
    """What routes may cost, by their names."""
    return {
        name: Budget(_micro(route.budget.usd), route.budget.per)
        for name, route in config.routes.items()
        if route.budget is not None
    }


def _demand_prices(config: Config, prices: Prices) -> None:
    """A budget that counts nothing would bind nobody. Raises ConfigError."""
    for name, route in config.routes.items():
        for deployment in route.deployments if route.budget is not None else []:
            if deployment.provider != "local" and prices.of(deployment.provider, deployment.model) is None:
                asked = f"{deployment.provider}/{deployment.model}"
                raise ConfigError(f"routes.{name}.budget: nobody knows what {asked} costs: set the deployment's price")


def _what_needs_it(config: Config) -> str:
    if config.keys.enabled:
        return "keys.enabled"
    return "usage.ledger" if config.usage.ledger else "the budget of a route"


def make_database(config: Config, setting: str) -> Database:
    """`setting` is what needs it. Nothing is opened yet. Raises ConfigError, MissingExtra."""
    try:
        from wye.drivers.sql.database import Database, database_url  # noqa: PLC0415 - an extra, imported only when used
    except ImportError:
        raise MissingExtra(setting, "documents") from None
    try:
        return Database(database_url(config.storage.url or Secret(f"sqlite:///{_home(config) / 'wye.db'}")))
    except ValueError as error:
        raise ConfigError(f"storage.url cannot be used: {error}") from None


def _home(config: Config) -> Path:
    return Path(config.home) if config.home else home_folder(None, {})


def make_prices(config: Config, setting: str = "keys.enabled or usage.ledger") -> Prices:
    """Those of the configuration, then those that the package genai-prices knows; `setting` is what needs them."""
    if find_spec("genai_prices") is None:
        raise MissingExtra(setting, "prices")
    own = {
        f"{deployment.provider}/{deployment.model}": _price(deployment.price)
        for route in config.routes.values()
        for deployment in route.deployments
        if deployment.price is not None
    }
    kinds = {name: name for name in ROWS} | {name: section.kind or name for name, section in config.providers.items()}
    vendors = {name: ROWS[kind].prices_name for name, kind in kinds.items() if kind in ROWS}
    return Prices(own, {name: vendor for name, vendor in vendors.items() if vendor}, known_price)


def _price(section: PriceConfig) -> Price:
    cached = None if section.cached_usd is None else _micro(section.cached_usd)
    return Price(((0, Rate(_micro(section.input_usd), _micro(section.output_usd), cached)),))


def _micro(usd: float) -> int:
    return round(usd * MICRO_USD_PER_USD)


def make_auth(config: Config, issued: IssuedKeys | None = None) -> Auth:
    """Who may call: whoever has the server's key, or signs as an AWS client with it or with a pair of its own."""
    server = config.server
    pair = server.aws_access_key_id, server.aws_secret_access_key
    if any(pair) and not (all(pair) and server.api_key):
        raise ConfigError(
            "server: aws_access_key_id, aws_secret_access_key and api_key are needed all, or api_key alone"
        )
    if not server.api_key:
        return Auth({}, issued=issued)
    pairs = {OWN_ACCESS_KEY_ID: ("server", server.api_key)}
    if server.aws_access_key_id and server.aws_secret_access_key:
        pairs[server.aws_access_key_id] = ("server", server.aws_secret_access_key)
    return Auth({"server": server.api_key}, pairs, issued)
