"""What calls cost at the deployments that answered them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wye.canon.usage import Usage
from wye.catalog.prices import Price
from wye.gateway.deployment import Deployment

_REMEMBERED = 10_000


class Prices:
    """A deployment without a known price costs nothing."""

    def __init__(
        self, own: Mapping[str, Price], vendors: Mapping[str, str], known: Callable[[str, str], Price | None]
    ) -> None:
        """`own` by a deployment's id, before what is `known` of a vendor's model; `vendors` by a provider's name."""
        self._own = own
        self._found: dict[str, Price | None] = {}
        self._vendors = vendors
        self._known = known

    def of(self, provider: str, model: str) -> Price | None:
        name = f"{provider}/{model}"
        if name in self._own:
            return self._own[name]
        if name not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()  # callers may name any model
            vendor = self._vendors.get(provider)
            self._found[name] = self._known(vendor, model) if vendor is not None else None
        return self._found[name]

    def cost_micro_usd(self, provider: str, model: str, usage: Usage | None) -> int:
        price = self.of(provider, model) if usage is not None else None
        return price.cost_micro_usd(usage) if price is not None and usage is not None else 0

    def estimate_micro_usd(self, deployments: list[Deployment], input_tokens: int, output_tokens: int) -> int:
        """What a call costs at the dearest of them."""
        usage = Usage(input_tokens, output_tokens)
        return max((self.cost_micro_usd(d.provider.name, d.model, usage) for d in deployments), default=0)
