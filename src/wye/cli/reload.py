"""`wye serve --reload`: a server whose configuration is looked at again and again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from wye.config.schema import Config
from wye.kernel.errors import ConfigError

_EVERY_S = 0.5
_log = logging.getLogger("wye")


class Watch:
    """Looks until the configuration is another and a good one; then calls `stop` once, and `found` is what it is."""

    def __init__(
        self, load: Callable[[], Config], check: Callable[[Config], object], current: Config, stop: Callable[[], None]
    ) -> None:
        """`load` and `check` raise ConfigError for one that is not good."""
        self._load = load
        self._check = check
        self._current = current
        self._stop = stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="reload", daemon=True)
        self.found: Config | None = None

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        told: str | None = None
        while not self._ended.wait(_EVERY_S):
            try:
                config = self._load()
                if config != self._current:
                    self._check(config)
            except ConfigError as error:
                if error.message != told:
                    told = error.message
                    _log.warning("The changed configuration is not used: %s", told)
                continue
            told = None
            if config != self._current:
                self.found = config
                self._stop()
                return
