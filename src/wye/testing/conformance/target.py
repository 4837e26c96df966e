"""The server under test, spoken to by hand: no vendor's client, which would forgive or hide what it says."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from wye.kernel.errors import ConfigError
from wye.kernel.json import JsonError, as_list, as_object, decode, encode

_MAX_ANSWER = 64 * 1024 * 1024
_TRANSFER_ERRORS = (OSError, http.client.HTTPException)


class Answer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    """By names in lower case."""
    body: bytes

    def json(self) -> Any:
        """Raises AssertionError with what came instead."""
        try:
            return decode(self.body)
        except JsonError as error:
            raise AssertionError(f"the body is not JSON ({error}): {self.body[:80]!r}") from None

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Target:
    """`base_url` may end in `/v1` or not. Without a model the first that the server lists is asked."""

    def __init__(
        self, base_url: str, api_key: str | None = None, *, model: str | None = None, timeout_s: float = 60.0
    ) -> None:
        parts = urlsplit(base_url if "://" in base_url else f"http://{base_url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"'{base_url}' is no address of a server: http://HOST:PORT")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"
        self.api_key = api_key
        self.timeout_s = timeout_s
        self.model = model or ""

    def find_model(self) -> None:
        """Raises ConfigError when nobody answers, or no model is told."""
        try:
            answer = self.send("GET", "/v1/models")
        except AssertionError as error:
            raise ConfigError(f"Cannot reach {self.url}: {error}") from None
        if self.model:
            return
        try:
            listed = as_list((as_object(answer.json()) or {}).get("data")) or []
        except AssertionError:
            listed = []
        names = [
            model["id"] for model in map(as_object, listed) if model is not None and isinstance(model.get("id"), str)
        ]
        if not names:
            raise ConfigError(f"{self.url}/v1/models names no model (status {answer.status}): give one with --model")
        self.model = names[0]

    def chat(self, body: Any) -> Answer:
        return self.send("POST", "/v1/chat/completions", body)

    def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request on a connection of its own. Raises AssertionError when no whole answer comes."""
        connection, response = self.begin(method, path, body, headers)
        try:
            data = response.read(_MAX_ANSWER)
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, data)
        except TimeoutError:
            raise AssertionError(f"no whole answer within {self.timeout_s:g} s") from None
        except _TRANSFER_ERRORS as error:
            raise AssertionError(f"the answer broke off: {type(error).__name__} {error}") from None
        finally:
            connection.close()

    def begin(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """The head of an answer has come. Raises AssertionError when it does not."""
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=self.timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self.timeout_s)
        sent = {"content-type": "application/json", "accept": "*/*", **self._auth(path), **(headers or {})}
        data = body if isinstance(body, bytes) or body is None else encode(body)
        try:
            connection.request(method, parts.path + path, data, sent)
            return connection, connection.getresponse()
        except TimeoutError:
            connection.close()
            raise AssertionError(f"no answer within {self.timeout_s:g} s") from None
        except _TRANSFER_ERRORS as error:
            connection.close()
            raise AssertionError(f"no answer: {type(error).__name__} {error}") from None

    def _auth(self, path: str) -> dict[str, str]:
        anthropic = path.startswith("/v1/messages")
        headers = {"anthropic-version": "2023-06-01"} if anthropic else {}
        if self.api_key is not None:
            headers |= {"x-api-key": self.api_key} if anthropic else {"authorization": f"Bearer {self.api_key}"}
        return headers

    def bedrock_path(self, verb: str, model: str | None = None) -> str:
        return f"/model/{quote(model or self.model, safe='')}/{verb}"
