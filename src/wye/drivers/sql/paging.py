"""Part of a list, in the order of its making: https://platform.openai.com/docs/api-reference/files/list"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from wye.ports.store import Page


async def fetch_page(
    connection: AsyncConnection,
    query: Select[Any],
    page: Page,
    time: ColumnElement[float],
    name: ColumnElement[str],
    *only: ColumnElement[bool],
) -> Sequence[RowMapping]:
    """The part of the query's rows behind `page.after` or before `page.before`, by their `time` and `name`: none where
    that element is not among them. Of these rows, those for which all of `only` holds."""
    backwards = page.before is not None
    rising = (page.order == "asc") != backwards
    element = page.before or page.after
    part = query.where(*only)
    if element is not None:
        made = query.with_only_columns(time, maintain_column_froms=True).where(name == element)
        moment = made.correlate(None).scalar_subquery()
        beyond = (time > moment, name > element) if rising else (time < moment, name < element)
        part = part.where(or_(beyond[0], and_(time == moment, beyond[1])))
    order = (column.asc() if rising else column.desc() for column in (time, name))
    rows = (await connection.execute(part.order_by(*order).limit(page.limit))).mappings().all()
    return rows[::-1] if backwards else rows
