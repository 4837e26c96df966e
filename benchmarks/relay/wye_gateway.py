"""Wye as a user starts it, with a key to check and limits to keep, in front of the mock upstream."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.relay import wire
from benchmarks.relay.processes import free_port, running, wait_for

PASSED_THROUGH = "bench"
"""The model whose upstream speaks the caller's dialect."""
TRANSLATED = "bench-claude"
"""The model whose upstream speaks Anthropic's."""

# Limits are set so high that they never bite: what is measured is that they are kept.
_CONFIG = """\
server: {{api_key: {key}}}
home: {folder}/home
local: {{enabled: false}}
limits: {{requests_per_minute: 100000000, tokens_per_minute: 100000000000, concurrent: 10000}}
providers:
  mock: {{kind: openai, base_url: "http://127.0.0.1:{upstream}/v1", api_key: upstream-key}}
  mock-claude: {{kind: anthropic, base_url: "http://127.0.0.1:{upstream}", api_key: upstream-key}}
routes:
  {passed_through}: {{deployments: [{{provider: mock, model: bench-model}}]}}
  {translated}: {{deployments: [{{provider: mock-claude, model: bench-model}}]}}
"""


@contextlib.contextmanager
def wye(upstream: int, folder: Path) -> Iterator[tuple[int, int]]:
    """Port and process id of a Wye in front of the upstream. Raises RunFailed."""
    port = free_port()
    config = folder / "wye.yaml"
    config.write_text(
        _CONFIG.format(
            key=wire.KEY, folder=folder, upstream=upstream, passed_through=PASSED_THROUGH, translated=TRANSLATED
        )
    )
    log = folder / "wye.log"
    command = [sys.executable, "-m", "wye", "serve", "--config", str(config), "--port", str(port)]
    with running(command, log, folder) as process:
        wait_for(port, process, log)
        yield port, process.pid
