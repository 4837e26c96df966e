"""The part of the composition root that knows where files and documents are kept, and who reads them."""

from __future__ import annotations

from pathlib import Path

from wye.api.documents import DocumentPages
from wye.api.files import FilePages
from wye.config.schema import Config
from wye.config.sources import home_folder
from wye.drivers.disk.blobs import DiskBlobs
from wye.kernel.errors import ConfigError, MissingExtra
from wye.kernel.secret import Secret
from wye.knowledge.library import Library
from wye.knowledge.on_demand import LibraryOnDemand
from wye.knowledge.text_reader import TextReader

MiB = 1024 * 1024


def make_library(config: Config) -> LibraryOnDemand:
    """Files and documents, nothing of which is imported or opened before somebody asks, or work is left from before."""
    home = Path(config.home) if config.home else home_folder(None, {})
    file = home / "wye.db"
    storage, documents = config.storage, config.documents

    def make() -> Library:
        try:
            from wye.drivers.sql.database import Database, database_url  # noqa: PLC0415 - an extra, as all below
            from wye.drivers.sql.jobs import SqlJobs  # noqa: PLC0415
            from wye.drivers.sql.store import SqlStore  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("Keeping files and documents", "documents") from None
        try:
            url = database_url(storage.url or Secret(f"sqlite:///{file}"))
        except ValueError as error:
            raise ConfigError(f"storage.url cannot be used: {error}") from None
        database = Database(url)
        folder = Path(storage.blobs).expanduser() if storage.blobs else home / "blobs"
        return Library(
            SqlStore(database),
            DiskBlobs(folder),
            SqlJobs(database),
            TextReader(),
            folder / "incoming",
            max_bytes=documents.max_upload_mb * MiB,
            readers=documents.readers,
        )

    return LibraryOnDemand(make, in_use=lambda: storage.url is not None or file.exists())


def rooms_of(library: LibraryOnDemand) -> dict[str, object]:
    """The handlers of their routes."""
    return {"files": FilePages(library), "documents": DocumentPages(library)}
