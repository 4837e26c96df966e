"""Wye as a process of its own, on a free port: what a test of a deployment speaks to."""

from __future__ import annotations

import re
import subprocess  # noqa: TID251 - the server under test, started for a test and ended with it
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wye.kernel.json import encode
from wye.testing.fake_provider import FakeProvider

_START_S = 60.0
_STOP_S = 40.0


def fake_config(provider: FakeProvider) -> dict[str, Any]:
    """A configuration in which a fake provider answers for OpenAI, Anthropic and Bedrock."""
    return {
        "local": {"enabled": False},
        "providers": {
            "openai": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "sk-fake"},
            "anthropic": {"kind": "anthropic", "base_url": provider.url, "api_key": "sk-fake"},
            "bedrock": {
                "kind": "bedrock",
                "region": "us-east-1",
                "endpoint_url": provider.url,
                "access_key_id": "AKIDFAKE",
                "secret_access_key": "fake",
            },
        },
    }


class WyeProcess:
    """A context manager. `config` is what a `wye.yaml` would hold; without one a fake provider, `provider`, answers for
    every vendor."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.provider = FakeProvider() if config is None else None
        self.url = ""
        self._config = config
        self._folder = tempfile.TemporaryDirectory(prefix="wye-test-")
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if self.provider is not None:
            self.provider.start()
            self._config = fake_config(self.provider)
        folder = Path(self._folder.name)
        file = folder / "wye.yaml"
        file.write_bytes(encode({"home": str(folder / "home"), **(self._config or {})}))  # JSON is YAML
        command = [sys.executable, "-m", "wye", "serve", "--port", "0", "--config", str(file)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True)  # noqa: S603 - ourselves
        too_late = threading.Timer(_START_S, self._process.kill)
        too_late.start()
        assert self._process.stdout is not None
        said = ""
        while line := self._process.stdout.readline():
            said += line
            if "pages" in line:
                break
        too_late.cancel()
        found = re.search(r"http://\S+", said)
        if found is None:
            _, why = self._process.communicate()
            self.stop()
            raise RuntimeError(f"wye serve did not start: {why.strip()[-500:]}")
        self.url = found[0]
        # What it logs must not fill the pipe.
        threading.Thread(target=self._process.stderr.read, daemon=True).start()  # type: ignore[union-attr]
        return self

    @property
    def pid(self) -> int:
        """Of the server, while it runs."""
        assert self._process is not None
        return self._process.pid

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Idempotent. What does not end by itself is killed."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process is not None and process.stdout is not None:
            process.stdout.close()
        if self.provider is not None:
            self.provider.stop()
        self._folder.cleanup()
