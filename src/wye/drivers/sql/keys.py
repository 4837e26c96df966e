"""Implements `ports.keys.Keys`."""

from __future__ import annotations

import msgspec
from sqlalchemy import RowMapping, insert, select, update

from wye.drivers.sql.database import Database
from wye.drivers.sql.tables import keys
from wye.kernel.json import decode, encode_text
from wye.ports.keys import IssuedKey

_AS_JSON = ("routes", "operations", "budget", "route_budgets")


class SqlKeys:
    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def away(self) -> str | None:
        return self._database.away

    async def add(self, key: IssuedKey) -> None:
        row = msgspec.structs.asdict(key)
        row["terms"] = encode_text({name: row.pop(name) for name in _AS_JSON})
        async with self._database.write() as connection:
            await connection.execute(insert(keys).values(row))

    async def find(self, hashed: str) -> IssuedKey | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(keys).where(keys.c.hash == hashed))).mappings().one_or_none()
        return _key_of(row) if row else None

    async def all(self) -> list[IssuedKey]:
        async with self._database.read() as connection:
            rows = await connection.execute(select(keys).order_by(keys.c.created_s.desc(), keys.c.id))
            return [_key_of(row) for row in rows.mappings()]

    async def revoke(self, key_id: str, now_s: float) -> bool:
        this = update(keys).where(keys.c.id == key_id, keys.c.revoked_s.is_(None))
        async with self._database.write() as connection:
            return bool((await connection.execute(this.values(revoked_s=now_s))).rowcount)

    async def close(self) -> None:
        await self._database.close()


def _key_of(row: RowMapping) -> IssuedKey:
    members = {str(name): value for name, value in row.items()}  # SQLAlchemy's names are a kind of str of their own
    return msgspec.convert({**members, **decode(members.pop("terms"))}, IssuedKey)
