"""Implements `ports.store.Questions`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, delete, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from wye.drivers.sql.database import Database
from wye.drivers.sql.paging import fetch_page
from wye.drivers.sql.tables import asked, documents, questions
from wye.ports.store import Page, Question


class SqlQuestions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, question: Question) -> None:
        row = {
            "id": question.id,
            "principal": question.principal,
            "question": question.question,
            "answer": question.answer,
            "citations": question.citations,
            "model": question.model,
            "created_s": question.created_s,
        }
        there = select(documents.c.id, literal(question.id)).where(
            documents.c.id.in_(question.document_ids), documents.c.principal == question.principal
        )
        async with self._database.write() as connection:
            await connection.execute(insert(questions).values(row))
            await connection.execute(insert(asked).from_select(["document_id", "question_id"], there))

    async def of_document(self, principal: str, document_id: str, page: Page) -> list[Question]:
        about = select(asked.c.question_id).where(asked.c.document_id == document_id)
        theirs = (questions.c.principal == principal, questions.c.id.in_(about))
        async with self._database.read() as connection:
            rows = await fetch_page(
                connection, select(questions).where(*theirs), page, questions.c.created_s, questions.c.id
            )
            links = (
                select(asked).where(asked.c.question_id.in_([row["id"] for row in rows])).order_by(asked.c.document_id)
            )
            of_question: dict[str, list[str]] = {}
            for link in await connection.execute(links):
                of_question.setdefault(link.question_id, []).append(link.document_id)
        return [Question(**row, document_ids=tuple(of_question[row["id"]])) for row in rows]


async def forget_questions(connection: AsyncConnection, of_documents: Select[Any]) -> None:
    """Delete what was asked of documents: the answers quote them."""
    about = select(asked.c.question_id).where(asked.c.document_id.in_(of_documents))
    await connection.execute(delete(questions).where(questions.c.id.in_(about)))
