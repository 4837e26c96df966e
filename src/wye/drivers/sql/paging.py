"""Part of a list, in the order of its making: https://platform.openai.com/docs/api-reference/files/list"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, Table, and_, or_, select

from wye.ports.store import Page


def paged(query: Select[Any], table: Table, page: Page, principal: str) -> Select[Any]:
    """The query's rows that are the principal's, behind the element `after`: none when there is no such element."""
    query = query.where(table.c.principal == principal)
    if page.after is not None:
        found = select(table.c.created_s).where(table.c.principal == principal, table.c.id == page.after)
        made = found.scalar_subquery()
        time, name = table.c.created_s, table.c.id
        behind = (time > made, name > page.after) if page.order == "asc" else (time < made, name < page.after)
        query = query.where(or_(behind[0], and_(time == made, behind[1])))
    columns = (table.c.created_s, table.c.id)
    return query.order_by(*(column.asc() if page.order == "asc" else column.desc() for column in columns)).limit(
        page.limit
    )
