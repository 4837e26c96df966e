"""Implements `ports.ledger.Ledger`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import case, func, select

from wye.drivers.sql.database import Database
from wye.drivers.sql.tables import usage
from wye.ports.ledger import Entry, Group, Sum

_DAY_S = 86400


class SqlLedger:
    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def away(self) -> str | None:
        return self._database.away

    async def add(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        rows = [msgspec.structs.asdict(entry) for entry in entries]
        new = self._database.insert(usage).on_conflict_do_nothing(index_elements=["id"])
        async with self._database.write() as connection:
            await connection.execute(new, rows)  # one statement, prepared once: a tenth of what one of many rows costs

    async def spent_micro_usd(self, since_s: float, principal: str | None, model: str | None) -> int:
        query = select(func.coalesce(func.sum(usage.c.cost_micro_usd), 0)).where(usage.c.at_s >= since_s)
        for column, wanted in ((usage.c.principal, principal), (usage.c.model, model)):
            if wanted is not None:
                query = query.where(column == wanted)
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def sums(self, by: Group, since_s: float, until_s: float, principal: str | None = None) -> list[Sum]:
        of: Any = {
            "key": usage.c.principal,
            "model": usage.c.model,
            "deployment": func.coalesce(usage.c.deployment, ""),
            "day": func.floor(usage.c.at_s / _DAY_S),
        }[by]
        summed = {name: func.sum(usage.c[name]) for name in _SUMMED}
        calls, failed = func.count(), func.sum(case((usage.c.status == "failed", 1), else_=0))
        query = select(of, calls, failed, *summed.values()).where(usage.c.at_s >= since_s, usage.c.at_s < until_s)
        if principal is not None:
            query = query.where(usage.c.principal == principal)
        query = query.group_by(of).order_by(*([of] if by == "day" else [summed["cost_micro_usd"].desc(), of]))
        async with self._database.read() as connection:
            rows: list[tuple[Any, ...]] = [tuple(row) for row in await connection.execute(query)]
        return [
            Sum(of=_day(row[0]) if by == "day" else row[0], calls=row[1], failed=int(row[2]), **_integers(row[3:]))
            for row in rows
        ]


_SUMMED = ("input_tokens", "output_tokens", "cached_tokens", "cost_micro_usd")


def _day(days: float) -> str:
    return datetime.fromtimestamp(days * _DAY_S, UTC).date().isoformat()


def _integers(values: Sequence[Any]) -> dict[str, int]:
    """Postgres sums big integers up as decimals."""
    return {name: int(value) for name, value in zip(_SUMMED, values, strict=True)}
