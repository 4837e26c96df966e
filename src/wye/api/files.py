"""Files, in OpenAI's form; in Anthropic's for its clients.

https://platform.openai.com/docs/api-reference/files  https://docs.anthropic.com/en/api/files-create
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from wye.api.answers import asked_page, json_answer, listed, speaks_anthropic
from wye.api.edge import CallerLeft
from wye.kernel.clock import rfc3339
from wye.kernel.errors import BadRequest, NotFound
from wye.kernel.json import JsonObject
from wye.knowledge.intake import too_large
from wye.knowledge.kinds import demand_readable
from wye.knowledge.library import UPLOADED, Library
from wye.knowledge.on_demand import LibraryOnDemand
from wye.ports.store import StoredFile

_PURPOSE = "user_data"
_MAX_PURPOSE = 64
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
_FORM_BYTES = 1024 * 1024
"""What a form may hold beside its file."""


class FilePages:
    def __init__(self, library: LibraryOnDemand) -> None:
        self._library = library

    async def create(self, request: Request) -> Response:
        file = await receive_file(request, await self._library())
        return json_answer(_described(request, file))

    async def list(self, request: Request) -> Response:
        library = await self._library()
        page = asked_page(request, default=20 if speaks_anthropic(request) else 10_000, most=10_000)
        files = await library.store.files.list(request.state.principal, page, request.query_params.get("purpose"))
        answer = listed(page, [_described(request, file) for file in files])
        if speaks_anthropic(request):
            del answer["object"]
        return json_answer(answer)

    async def show(self, request: Request) -> Response:
        return json_answer(_described(request, await self._file(request)))

    async def content(self, request: Request) -> Response:
        file = await self._file(request)
        library = await self._library()
        pieces = library.blobs.read(file.blob)
        try:
            first = await anext(pieces, b"")
        except FileNotFoundError:
            raise NotFound(f"The content of file '{file.id}' is gone", param="file_id") from None
        headers = {
            "content-length": str(file.bytes),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",
            "x-content-type-options": "nosniff",
        }
        return StreamingResponse(_with_first(first, pieces), headers=headers, media_type=file.content_type)

    async def delete(self, request: Request) -> Response:
        library, file_id = await self._library(), request.path_params["file_id"]
        if await library.delete_file(request.state.principal, file_id) is None:
            raise no_file(file_id)
        if speaks_anthropic(request):
            return json_answer({"id": file_id, "type": "file_deleted"})
        return json_answer({"id": file_id, "object": "file", "deleted": True})

    async def _file(self, request: Request) -> StoredFile:
        library, file_id = await self._library(), request.path_params["file_id"]
        file = await library.store.files.get(request.state.principal, file_id)
        if file is None:
            raise no_file(file_id)
        return file


def no_file(file_id: str) -> NotFound:
    return NotFound(f"No such File object: {file_id[:100]}", param="file_id", code="file_not_found")


async def receive_file(request: Request, library: Library, *, as_document: bool = False) -> StoredFile:
    """The file of a form, kept. Raises TooLarge, BadRequest, Unprocessable, UnsupportedMedia, CallerLeft."""
    from wye.api.multipart import Form  # noqa: PLC0415 - an extra, imported only when used

    limit = library.intake.max_bytes
    promised = request.headers.get("content-length", "")[:20]
    if promised.isdecimal() and int(promised) > limit + _FORM_BYTES:
        raise too_large(limit)
    form = Form(request.headers.get("content-type", ""), _bounded(request, limit + _FORM_BYTES))
    async with library.intake.receive(form.file()) as received:
        name = form.filename or ""
        purpose = form.fields.get("purpose", _PURPOSE)
        if not 0 < len(purpose) <= _MAX_PURPOSE:
            raise BadRequest(f"purpose must have 1 to {_MAX_PURPOSE} characters", param="purpose")
        if as_document:
            purpose = UPLOADED
            demand_readable(library.intake.kind(received, name), name)
        return await library.intake.keep(
            received, request.state.principal, name, purpose=purpose, expires_after_s=_expiry(form.fields)
        )


async def _bounded(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body, of which fields may not be without end either. Raises TooLarge, CallerLeft."""
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise too_large(limit - _FORM_BYTES)
            yield piece
    except ClientDisconnect:
        raise CallerLeft from None


def _expiry(fields: dict[str, str]) -> float | None:
    """https://platform.openai.com/docs/api-reference/files/create#files_create-expires_after"""
    seconds = fields.get(_SECONDS)
    if seconds is None:
        return None
    if fields.get(_ANCHOR, "created_at") != "created_at":
        raise BadRequest("expires_after.anchor must be 'created_at'", param=_ANCHOR)
    if not (seconds.isdecimal() and seconds.isascii() and 3600 <= int(seconds[:9]) <= 2_592_000):
        raise BadRequest("expires_after.seconds must be a number from 3600 to 2592000", param=_SECONDS)
    return float(seconds)


async def _with_first(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in others:
        yield piece


def _described(request: Request, file: StoredFile) -> JsonObject:
    if speaks_anthropic(request):
        return {
            "id": file.id,
            "type": "file",
            "filename": file.filename,
            "mime_type": file.content_type,
            "size_bytes": file.bytes,
            "created_at": rfc3339(file.created_s),
            "downloadable": True,
        }
    expires: dict[str, Any] = {} if file.expires_s is None else {"expires_at": int(file.expires_s)}
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_s),
        **expires,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }
