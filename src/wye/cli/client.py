"""How commands speak to a running server: plain HTTP, one call at a time, in words for the person at the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from wye.cli.options import url_of
from wye.config.schema import Config
from wye.kernel.errors import ConfigError, ConnectFailed, StreamCut, UpstreamRefused
from wye.kernel.ids import new_id
from wye.kernel.json import JsonError, JsonObject, as_object, decode, encode
from wye.kernel.sse import Frame, SseDecoder

_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 65_536


class Server:
    """A server by its URL. `timeout_s` is the longest silence that is waited through."""

    def __init__(self, url: str, api_key: str, timeout_s: float = 600) -> None:
        """Raises ConfigError for a URL or a key that cannot be used."""
        if not (api_key.isascii() and api_key.isprintable()):
            raise ConfigError("The API key holds characters that an HTTP header cannot carry")
        self.url = url
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._timeout_s = timeout_s
        try:
            parts = urlsplit(url)
            self._kind = {"http": HTTPConnection, "https": HTTPSConnection}[parts.scheme]
            self._address = (parts.hostname or "", parts.port)
            self._prefix = parts.path.rstrip("/").removesuffix("/v1")
            self._kind(*self._address)
        except (KeyError, ValueError, HTTPException):
            raise ConfigError(f"--server-url must be like http://127.0.0.1:8000, not {url!r}") from None

    def ask(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        """The JSON object that it answers with. Raises ConnectFailed, StreamCut, UpstreamRefused."""
        with self._call(method, path, body) as response:
            return self._object(response)

    def stream(self, path: str, body: JsonObject) -> Iterator[Frame]:
        """The events that it answers with. Raises ConnectFailed, UpstreamRefused, and StreamCut in the middle."""
        decoder = SseDecoder()
        with self._call("POST", path, body) as response:
            try:
                while chunk := response.read1(_CHUNK_BYTES):
                    yield from decoder.feed(chunk)
            except (OSError, HTTPException) as error:
                raise StreamCut(f"The answer of {self.url} broke off: {error}") from None
        yield from decoder.close()

    def upload(self, path: str, file: Path, progress: Callable[[int], object]) -> JsonObject:
        """Send a file as a form's field `file`, piece by piece; `progress` is told the bytes sent so far."""
        boundary = new_id("wye-")
        name = file.name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = (
            f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n'
            "content-type: application/octet-stream\r\n\r\n"
        ).encode("utf-8", "replace")
        tail = f"\r\n--{boundary}--\r\n".encode()

        def pieces() -> Iterator[bytes]:
            yield head
            with file.open("rb") as source:
                while piece := source.read(_CHUNK_BYTES):
                    yield piece
                    progress(source.tell())
            yield tail

        length = str(len(head) + file.stat().st_size + len(tail))
        form = {"content-type": f"multipart/form-data; boundary={boundary}", "content-length": length}
        with self._send("POST", path, pieces(), form) as response:
            return self._object(response)

    def _call(self, method: str, path: str, body: JsonObject | None) -> HTTPResponse:
        return self._send(method, path, encode(body) if body is not None else None, {})

    def _object(self, response: HTTPResponse) -> JsonObject:
        try:
            return as_object(decode(response.read(_MAX_ANSWER_BYTES))) or {}
        except (OSError, HTTPException, JsonError) as error:
            raise StreamCut(f"The answer of {self.url} broke off: {error}") from None

    def _send(
        self, method: str, path: str, content: bytes | Iterator[bytes] | None, headers: dict[str, str]
    ) -> HTTPResponse:
        connection = self._kind(*self._address, timeout=self._timeout_s)
        try:
            sent = {**self._headers, **headers, "connection": "close"}
            connection.request(method, self._prefix + path, content, sent)
            response = connection.getresponse()
            if response.status < 300:
                return response
            with response:
                told = response.read(_MAX_ANSWER_BYTES)
        except (OSError, HTTPException) as error:
            connection.close()
            reason = getattr(error, "strerror", None) or error
            raise ConnectFailed(
                f"No Wye answers at {self.url}: {reason}. Is it running? 'wye serve' starts it"
            ) from None
        raise UpstreamRefused(_reason(told) or f"{self.url} answered {response.status}", status=response.status)


def server_of(config: Config, url: str | None, api_key: str | None) -> Server:
    """The server that a command means: the one named, else that of this configuration. Raises ConfigError."""
    own = config.server.api_key
    return Server(url or url_of(config), api_key or (own.reveal() if own else ""))


def _reason(body: bytes) -> str | None:
    """What an error's body says, in the words of Wye or of another OpenAI-compatible server."""
    try:
        told = as_object(decode(body)) or {}
    except JsonError:
        return None
    reason = (as_object(told.get("error")) or {}).get("message") or told.get("detail")
    return str(reason) if reason else None
