"""The part of the composition root that knows where files and documents are kept, and who reads them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wye.api.ask import AskPages
from wye.api.documents import DocumentPages
from wye.api.files import FilePages
from wye.api.sessions import SessionPages
from wye.api.tools import ToolPages
from wye.api.vector_store_files import VectorStoreFilePages
from wye.api.vector_stores import VectorStorePages
from wye.catalog.encoders import ENCODERS
from wye.config.schema import Config, StorageConfig
from wye.config.sources import home_folder
from wye.dialects.openai_embeddings import DIALECT as EMBEDDINGS
from wye.dialects.registry import DIALECTS
from wye.drivers.disk.blobs import DiskBlobs
from wye.gateway.embedder import GatewayEmbedder
from wye.gateway.pipeline import Pipeline
from wye.kernel.errors import ConfigError, MissingExtra
from wye.kernel.secret import Secret
from wye.knowledge.library import Library
from wye.knowledge.on_demand import LibraryOnDemand
from wye.knowledge.reader import DocumentReader, LocalEmbedder
from wye.knowledge.retrieve import Embedder, Retriever
from wye.ports.blobs import Blobs
from wye.ports.encoders import Encoders
from wye.ports.jobs import Jobs
from wye.ports.store import Sessions

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

MiB = 1024 * 1024
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
_MAX_OBJECT_MB = 5 * 1024
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html"""
RERANKER = next(card.id for card in ENCODERS.values() if card.kind == "reranker")


def make_library(config: Config, encoders: Encoders | None, embedder: Callable[[], Embedder | None]) -> LibraryOnDemand:
    """Files and documents, nothing of which is imported or opened before somebody asks, or work is left from before."""
    home = home_of(config)
    file = home / "wye.db"
    storage, documents = config.storage, config.documents
    bucket = bucket_of(storage)
    if bucket is not None and documents.max_upload_mb > _MAX_OBJECT_MB:
        raise ConfigError(
            f"documents.max_upload_mb can be at most {_MAX_OBJECT_MB} where contents are objects of a bucket"
        )

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
        meaning = embedder()
        reranker = RERANKER if documents.rerank and encoders is not None else None
        folder = home / "blobs" if bucket is not None else _folder_of(storage, home)
        return Library(
            SqlStore(database),
            make_blobs(storage, home),
            _shared_jobs(url) if database.postgres else SqlJobs(database),
            DocumentReader(index, meaning),
            Retriever(index, meaning, encoders, reranker),
            folder / "incoming",
            max_bytes=documents.max_upload_mb * MiB,
            readers=documents.readers,
        )

    return LibraryOnDemand(make, in_use=lambda: storage.url is not None or file.exists())


def make_embedder(config: Config, encoders: Encoders | None, pipeline: Pipeline) -> Embedder | None:
    """Who makes vectors of documents and questions: a model on this machine, or whoever the gateway asks for it. None
    where local models are switched off. Raises ConfigError."""
    name = config.documents.embedding_model
    here = [card.id for card in ENCODERS.values() if card.kind == "embedding"]
    if name in here:
        return LocalEmbedder(encoders, name) if encoders is not None else None
    try:
        return GatewayEmbedder(pipeline, EMBEDDINGS, DIALECTS["openai_chat"], name)
    except ConfigError as error:
        raise ConfigError(
            f"documents.embedding_model is a model on this machine ({', '.join(here)}), a route, or a model of a "
            f"provider, that makes embeddings: {error.message}"
        ) from None


def home_of(config: Config) -> Path:
    return Path(config.home) if config.home else home_folder(None, {})


def make_blobs(storage: StorageConfig, home: Path) -> Blobs:
    """Raises ConfigError, MissingExtra. Nothing is opened before the first use."""
    bucket = bucket_of(storage)
    if bucket is None:
        return DiskBlobs(_folder_of(storage, home))
    try:
        from wye.drivers.s3.blobs import S3Blobs  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtra("storage.blobs in a bucket", "s3") from None
    return S3Blobs(*bucket, storage.blobs_endpoint_url)


def bucket_of(storage: StorageConfig) -> tuple[str, str] | None:
    """The bucket and prefix of `storage.blobs`; None where that is a folder. Raises ConfigError, which repeats nothing
    of a URL that may hold a secret by mistake."""
    endpoint = urlsplit(storage.blobs_endpoint_url or "")
    if storage.blobs_endpoint_url is not None and (
        endpoint.scheme not in ("http", "https") or not endpoint.hostname or "@" in endpoint.netloc
    ):
        raise ConfigError("storage.blobs_endpoint_url is a URL without credentials, as in http://minio.internal:9000")
    if "://" not in (storage.blobs or ""):
        if storage.blobs_endpoint_url is not None:
            raise ConfigError("storage.blobs_endpoint_url is for a bucket: set storage.blobs to s3://BUCKET/PREFIX")
        return None
    scheme, _, place = (storage.blobs or "").partition("://")
    bucket, _, prefix = place.rstrip("/").partition("/")
    if scheme != "s3" or not _BUCKET.fullmatch(bucket) or (prefix and not _PREFIX.fullmatch(prefix)):
        raise ConfigError("storage.blobs is a folder, or s3://BUCKET/PREFIX, without credentials")
    return bucket, prefix


def _folder_of(storage: StorageConfig, home: Path) -> Path:
    return Path(storage.blobs).expanduser() if storage.blobs else home / "blobs"


def _shared_jobs(url: URL) -> Jobs:
    try:
        from wye.drivers.procrastinate.jobs import ProcrastinateJobs  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtra("storage.url with Postgres", "postgres") from None
    return ProcrastinateJobs(url.set(drivername="postgresql").render_as_string(hide_password=False))


def sessions_of(library: LibraryOnDemand) -> Callable[[], Awaitable[Sessions]]:
    """Opened when a chat request names one."""

    async def opened() -> Sessions:
        return (await library()).store.sessions

    return opened


def rooms_of(library: LibraryOnDemand, pipeline: Pipeline, answer_model: str | None) -> dict[str, object]:
    """The handlers of their routes."""
    return {
        "files": FilePages(library),
        "documents": DocumentPages(library),
        "sessions": SessionPages(library),
        "tools": ToolPages(),
        "vector_stores": VectorStorePages(library),
        "vector_store_files": VectorStoreFilePages(library),
        "ask": AskPages(library, pipeline, DIALECTS["openai_chat"], answer_model),
    }
