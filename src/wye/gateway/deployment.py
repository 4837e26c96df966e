"""One model at one provider with one credential, and what has been seen of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wye.canon.usage import Usage
from wye.dialects.dialect import Dialect
from wye.gateway.cache.control import CachePolicy
from wye.gateway.routing.health import Health
from wye.kernel.errors import NoDeployment
from wye.kernel.json import Raw, encode
from wye.ports.inference import Panel
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
        self.seconds += seconds
        if failed:
            self.failures += 1
        if usage is not None:
            self.input_tokens += usage.input_tokens or 0
            self.output_tokens += usage.output_tokens or 0
            if usage.cached_tokens:
                self.cached_tokens += usage.cached_tokens


class Deployment:
    __slots__ = (
        "_spoken",
        "clocks",
        "context_length",
        "dialect",
        "health",
        "id",
        "meter",
        "model",
        "model_json",
        "provider",
        "takes_prefill",
        "told",
        "told_first",
        "weight",
    )

    def __init__(
        self,
        provider: Provider,
        model: str,
        clocks: Clocks,
        dialect: Dialect | None = None,
        *,
        weight: float = 1.0,
        context_length: int | None = None,
        health: Health | None = None,
        takes_prefill: bool = False,
    ) -> None:
        self.provider = provider
        self.model = model
        self.model_json = Raw(encode(model))
        self.clocks = clocks
        self.dialect = dialect
        """The one it must be asked in; None leaves that to the provider."""
        self.weight = weight
        """Its share of the calls; with 0 it is asked only where the others fail."""
        self.context_length = context_length
        """Tokens that fit; None if unknown."""
        self.takes_prefill = takes_prefill
        """Whether it goes on from a last message of the assistant as the beginning of its own."""
        self.health = health or Health()
        self.id = f"{provider.name}/{model}"
        plain = "".join(character if character.isprintable() else "?" for character in self.id.replace("%", "%%"))
        self.told = b"x-wye-deployment: %b\r\nx-wye-attempts: %%d\r\n" % plain.encode("ascii", "replace")
        """The header lines that name it, with a `%d` for the number of attempts."""
        self.told_first = self.told % 1
        self.meter = Meter()
        self._spoken: dict[Dialect, Dialect] = {}

    def speaks(self, caller: Dialect) -> Dialect:
        """The dialect in which to ask, for a caller of that one."""
        try:
            return self._spoken[caller]
        except KeyError:
            found = self._spoken[caller] = self.dialect or self.provider.speaks(self.model, caller)
            return found


Order = Callable[[Sequence[Deployment]], list[Deployment]]
"""From the deployments that can be asked, all of a weight above 0, to the order in which to ask them."""


class Route:
    """A public model name, who may answer for it, and how that is decided."""

    __slots__ = (
        "_alone",
        "_order",
        "asks",
        "cache",
        "continue_after_cut",
        "deployments",
        "name",
        "panel",
        "plain",
        "retries",
        "strict",
    )

    def __init__(
        self,
        name: str,
        deployments: list[Deployment],
        strict: bool = False,
        *,
        order: Order = list,
        retries: int = 2,
        cache: CachePolicy | None = None,
        continue_after_cut: bool = False,
        panel: Panel | None = None,
        asks: Route | None = None,
    ) -> None:
        self.name = name
        self.deployments = deployments
        self.strict = strict
        self.retries = retries
        """How often the same deployment is asked again."""
        self.cache = cache
        """How long answers are kept; None where every call is asked."""
        self.continue_after_cut = continue_after_cut
        """Whether a stream that broke off goes on at another deployment."""
        self.panel = panel
        """Models that answer together, in place of deployments."""
        self.plain = cache is None and panel is None and not continue_after_cut
        """Whether its answer is what the first deployment says that begins well, and nothing more."""
        self.asks = asks
        """Of a panel that is made for one request: where its own model is asked."""
        self._order = order
        self._alone = deployments[0].health if len(deployments) == 1 else None

    @property
    def window(self) -> int | None:
        """Tokens that whoever answers can hold; None where nobody tells."""
        windows = [d.context_length or d.provider.window(d.model) for d in self.deployments]
        return min([window for window in windows if window is not None], default=None)

    def only(self, deployments: list[Deployment], retries: int | None = None) -> Route:
        """The same route with some of its deployments, in that order."""
        return Route(self.name, deployments, self.strict, retries=self.retries if retries is None else retries)

    def plan(self, now_s: float, tokens: int) -> list[Deployment]:
        """Whom to ask, in order: those that can be asked, fallbacks last, then those who say that nothing is left of
        their limit, and after all others those whose context is too short for so many tokens.

        Raises NoDeployment when there is nobody.
        """
        deployments = self.deployments
        if self._alone is not None and self._alone.may_answer(now_s):
            return deployments
        usable = [d for d in deployments if d.health.usable(now_s)]
        weighted = [d for d in usable if d.weight > 0]
        plan = (self._order(weighted) if weighted else []) + [d for d in usable if d.weight <= 0]
        if len(plan) < len(deployments):
            spared = [d for d in deployments if d not in usable and d.health.may_answer(now_s)]
            plan += sorted(spared, key=lambda d: d.weight <= 0)
        if not plan:
            raise self._nobody(now_s)
        if any(d.context_length is not None for d in plan):
            plan.sort(key=lambda d: d.context_length is not None and d.context_length < tokens)
        return plan

    def _nobody(self, now_s: float) -> NoDeployment:
        states = "; ".join(d.health.why(d.id, now_s) for d in self.deployments[:5])
        wait_s = min(d.health.usable_in_s(now_s) for d in self.deployments)
        return NoDeployment(f"Nobody can answer for '{self.name}' now: {states}", retry_after_s=wait_s)
