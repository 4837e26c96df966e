"""Contents as objects of a bucket. Implements `ports.blobs.Blobs` by botocore, which blocks, in threads of its own.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from wye.ports.blobs import BlobsAway

# Without types of their own; imported here so that a missing extra is seen when the driver is imported.
_session: Any = import_module("botocore.session")
_config: Any = import_module("botocore.config")
_exceptions: Any = import_module("botocore.exceptions")

P = ParamSpec("P")
T = TypeVar("T")

_PIECE_BYTES = 256 * 1024
_AT_ONCE = 16
"""Transfers under way; whoever comes later waits. Not asyncio's own threads: a slow bucket must not hold up disks."""
_CONNECT_S, _READ_S, _ATTEMPTS = 5, 30, 3
_REASONS = {
    "NoSuchBucket": "it is not there",
    "AccessDenied": "access is denied",
    "InvalidAccessKeyId": "the credentials are refused",
    "SignatureDoesNotMatch": "the credentials are refused",
    "NoCredentialsError": "there are no AWS credentials",
    "PartialCredentialsError": "the AWS credentials are not complete",
}
log = logging.getLogger("wye")


class S3Blobs:
    def __init__(self, bucket: str, prefix: str = "", endpoint_url: str | None = None) -> None:
        """Nothing is asked before the first use; then AWS's usual chain of credentials. `prefix` begins each key."""
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint_url = endpoint_url
        self._client: Any = None
        self._making = threading.Lock()
        self._threads = ThreadPoolExecutor(_AT_ONCE, "s3")

    async def put(self, key: str, source: Path) -> None:
        putting = self._threads.submit(self._asking, self._put, key, source)
        try:
            await asyncio.wrap_future(putting)
        except asyncio.CancelledError:
            if not putting.cancelled():  # it goes on in its thread, and nobody would know of what it has put
                putting.add_done_callback(lambda _: self._threads.submit(self._asking, self._delete, key))
            raise

    async def read(self, key: str) -> AsyncIterator[bytes]:
        body = await self._in_thread(self._get, key)
        try:
            while piece := await self._in_thread(body.read, _PIECE_BYTES):
                yield piece
        finally:
            self._threads.submit(body.close)  # it waits for whoever reads

    async def fetch(self, key: str, folder: Path) -> Path:
        return await self._in_thread(self._fetch, key, folder)

    async def delete(self, key: str) -> None:
        await self._in_thread(self._delete, key)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            await asyncio.to_thread(self._client.close)

    def _put(self, key: str, source: Path) -> None:
        with source.open("rb") as content:  # read in pieces as it is sent; an object is there whole or not at all
            self._opened().put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content)
        source.unlink(missing_ok=True)

    def _get(self, key: str) -> Any:
        try:
            return self._opened().get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"]
        except _exceptions.ClientError as error:
            if _code(error) != "NoSuchKey":
                raise
            raise FileNotFoundError(key) from None

    def _fetch(self, key: str, folder: Path) -> Path:
        path, body = folder / key, self._get(key)
        try:
            with path.open("wb") as file:
                shutil.copyfileobj(body, file, _PIECE_BYTES)
        finally:
            body.close()
        return path

    def _delete(self, key: str) -> None:
        self._opened().delete_object(Bucket=self._bucket, Key=self._prefix + key)

    async def _in_thread(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(self._threads.submit(self._asking, ask, *args, **kwargs))

    def _asking(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises BlobsAway, whose reason names no address and no key."""
        try:
            return ask(*args, **kwargs)
        except (_exceptions.ClientError, _exceptions.BotoCoreError) as error:
            code = _code(error)
            if code == "NoCredentialsError":
                self._client = None  # it looks for them but once
            log.warning("The bucket %s cannot be used: %s", self._bucket, code)
            reason = _REASONS.get(code, code)
            raise BlobsAway(f"The bucket {self._bucket!r} cannot be used: {reason}", retry_after_s=5) from None

    def _opened(self) -> Any:
        with self._making:
            if self._client is None:
                own_address = self._endpoint_url is not None
                config = _config.Config(
                    connect_timeout=_CONNECT_S,
                    read_timeout=_READ_S,
                    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                    max_pool_connections=_AT_ONCE,
                    # Servers that are not AWS's know buckets by the path, and not all of its newer checksums.
                    s3={"addressing_style": "path" if own_address else "auto"},
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                )
                self._client = _session.Session().create_client("s3", endpoint_url=self._endpoint_url, config=config)
            return self._client


def _code(error: Any) -> str:
    """The service's word for what went wrong, else botocore's."""
    return error.response["Error"]["Code"] if isinstance(error, _exceptions.ClientError) else type(error).__name__
