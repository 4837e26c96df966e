"""The part of the composition root that knows where files and documents are kept, and who reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wye.api.ask import AskPages
from wye.api.documents import DocumentPages
from wye.api.files import FilePages
from wye.api.sessions import SessionPages
from wye.api.tools import ToolPages
from wye.catalog.encoders import ENCODERS
from wye.config.schema import Config
from wye.config.sources import home_folder
from wye.dialects.registry import DIALECTS
from wye.drivers.disk.blobs import DiskBlobs
from wye.gateway.pipeline import Pipeline
from wye.kernel.errors import ConfigError, MissingExtra
from wye.kernel.secret import Secret
from wye.knowledge.library import Library
from wye.knowledge.on_demand import LibraryOnDemand
from wye.knowledge.reader import DocumentReader, LocalEmbedder
from wye.knowledge.retrieve import Retriever
from wye.ports.encoders import Encoders
from wye.ports.jobs import Jobs

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

MiB = 1024 * 1024
RERANKER = next(card.id for card in ENCODERS.values() if card.kind == "reranker")


def make_library(config: Config, encoders: Encoders | None) -> LibraryOnDemand:
    """Files and documents, nothing of which is imported or opened before somebody asks, or work is left from before."""
    home = Path(config.home) if config.home else home_folder(None, {})
    file = home / "wye.db"
    storage, documents = config.storage, config.documents
    models = [card.id for card in ENCODERS.values() if card.kind == "embedding"]
    if documents.embedding_model not in models:
        raise ConfigError(f"documents.embedding_model is one of {', '.join(models)}, not {documents.embedding_model!r}")

    def make() -> Library:
        try:
            from wye.drivers.sql.database import Database, database_url  # noqa: PLC0415 - an extra, as all below
            from wye.drivers.sql.index import SqlIndex  # noqa: PLC0415
            from wye.drivers.sql.jobs import SqlJobs  # noqa: PLC0415
            from wye.drivers.sql.store import SqlStore  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("Keeping files and documents", "documents") from None
        try:
            url = database_url(storage.url or Secret(f"sqlite:///{file}"))
        except ValueError as error:
            raise ConfigError(f"storage.url cannot be used: {error}") from None
        database = Database(url)
        index = SqlIndex(database)
        embedder = LocalEmbedder(encoders, documents.embedding_model) if encoders is not None else None
        reranker = RERANKER if documents.rerank and encoders is not None else None
        folder = Path(storage.blobs).expanduser() if storage.blobs else home / "blobs"
        return Library(
            SqlStore(database),
            DiskBlobs(folder),
            _shared_jobs(url) if database.postgres else SqlJobs(database),
            DocumentReader(index, embedder),
            Retriever(index, embedder, encoders, reranker),
            folder / "incoming",
            max_bytes=documents.max_upload_mb * MiB,
            readers=documents.readers,
        )

    return LibraryOnDemand(make, in_use=lambda: storage.url is not None or file.exists())


def _shared_jobs(url: URL) -> Jobs:
    try:
        from wye.drivers.procrastinate.jobs import ProcrastinateJobs  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtra("storage.url with Postgres", "postgres") from None
    return ProcrastinateJobs(url.set(drivername="postgresql").render_as_string(hide_password=False))


def rooms_of(library: LibraryOnDemand, pipeline: Pipeline, answer_model: str | None) -> dict[str, object]:
    """The handlers of their routes."""
    return {
        "files": FilePages(library),
        "documents": DocumentPages(library),
        "sessions": SessionPages(library),
        "tools": ToolPages(),
        "ask": AskPages(library, pipeline, DIALECTS["openai_chat"], answer_model),
    }
