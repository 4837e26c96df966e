"""One model at one provider with one credential, and what has been seen of it."""

from __future__ import annotations

from wye.canon.usage import Usage
from wye.dialects.dialect import Dialect
from wye.kernel.json import Raw, encode
from wye.ports.provider import Provider
from wye.ports.transport import Clocks


class Meter:
    """Plain sums, added up on the hot path and read by /metrics. All monotonic."""

    __slots__ = ("cached_tokens", "failures", "input_tokens", "output_tokens", "requests", "seconds")

    def __init__(self) -> None:
        self.requests = 0
        self.failures = 0
        self.seconds = 0.0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cached_tokens = 0

    def add(self, usage: Usage | None, seconds: float, failed: bool) -> None:
        self.requests += 1
        self.failures += failed
        self.seconds += seconds
        if usage is not None:
            self.input_tokens += usage.input_tokens or 0
            self.output_tokens += usage.output_tokens or 0
            self.cached_tokens += usage.cached_tokens or 0


class Deployment:
    __slots__ = ("_spoken", "clocks", "dialect", "id", "id_line", "meter", "model", "model_json", "provider")

    def __init__(self, provider: Provider, model: str, clocks: Clocks, dialect: Dialect | None = None) -> None:
        self.provider = provider
        self.model = model
        self.model_json = Raw(encode(model))
        self.clocks = clocks
        self.dialect = dialect
        """The one it must be asked in; None leaves that to the provider."""
        self.id = f"{provider.name}/{model}"
        plain = "".join(character if character.isprintable() else "?" for character in self.id)
        self.id_line = b"x-wye-deployment: %b\r\n" % plain.encode("ascii", "replace")
        self.meter = Meter()
        self._spoken: dict[int, Dialect] = {}

    def speaks(self, caller: Dialect) -> Dialect:
        """The dialect in which to ask, for a caller of that one."""
        found = self._spoken.get(id(caller))  # there are few dialects, and they live as long as the process
        if found is None:
            found = self._spoken[id(caller)] = self.dialect or self.provider.speaks(self.model, caller)
        return found


class Route:
    """A public model name's deployments, in the order in which they are tried."""

    __slots__ = ("deployments", "name", "strict")

    def __init__(self, name: str, deployments: list[Deployment], strict: bool = False) -> None:
        self.name = name
        self.deployments = deployments
        self.strict = strict
