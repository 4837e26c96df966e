"""From the name a caller uses to the deployments that may answer.

Order: explicit prefix (`provider/model`, `provider:model`), configured route, local model, known pattern, panel (a mode
of orchestration, a preset), else 404.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from wye.gateway.deployment import Deployment, Route
from wye.kernel.errors import NotFound
from wye.ports.inference import Panels
from wye.ports.provider import Provider
from wye.ports.transport import Clocks

_REMEMBERED = 1000
"""Names resolved by prefix or pattern that are kept: callers choose them, so their number is bounded."""
_MAX_NAME = 2048
"""Characters, as many as Bedrock's ids may have: a longer one is not compared, nor kept."""


class Router:
    def __init__(
        self,
        routes: Iterable[Route],
        providers: dict[str, Provider],
        patterns: Iterable[tuple[str, str]],
        local_models: Callable[[], Iterable[str]],
        clocks: Clocks,
        panels: Panels | None = None,
        absent_models: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """`patterns` are (pattern, provider name), first match wins; `local_models` gives the names at this moment, and
        `absent_models` those that could be had here but are not: they are not listed, and their provider says why."""
        self.panels = panels
        self._routes = {route.name: route for route in routes}
        self._providers = providers
        self._patterns = list(patterns)
        self._local_models = local_models
        self._absent_models = absent_models
        self._clocks = clocks
        self._resolved: dict[str, Route] = {}

    def route(self, model: str) -> Route:
        """Raises NotFound with the nearest known name."""
        found = self._resolved.get(model)
        if found is None:
            found = self._resolve(model)
            if len(self._resolved) >= _REMEMBERED:
                self._resolved.pop(next(iter(self._resolved)))
            self._resolved[model] = found
        return found

    def is_of_another_wye(self, model: str) -> bool:
        """Whether another Wye answers for this model: what is asked of a Wye is then for that one."""
        try:
            deployments = self.route(model).deployments
        except NotFound:
            return False
        return bool(deployments) and all(deployment.provider.is_wye for deployment in deployments)

    def names(self) -> list[str]:
        """Every public name that can be listed: routes, then local models."""
        return [*self._routes, *(name for name in self._local_models() if name not in self._routes)]

    def providers(self) -> list[Provider]:
        """Every account that there is."""
        return list(self._providers.values())

    def routes(self) -> list[Route]:
        """Those that are configured, and those that have been in use."""
        return list({route.name: route for route in (*self._resolved.values(), *self._routes.values())}.values())

    def deployments(self) -> list[Deployment]:
        """Those that have been in use, each once."""
        return list({id(d): d for route in self.routes() for d in route.deployments}.values())

    def _resolve(self, model: str) -> Route:
        if len(model) > _MAX_NAME:
            said = f"Model '{model[:200]}...' not found: a name has at most {_MAX_NAME} characters"
            raise NotFound(said, param="model", code="model_not_found")
        for separator in ("/", ":"):
            name, found, rest = model.partition(separator)
            if found and rest and name in self._providers:
                return self._direct(model, name, rest)
        if route := self._routes.get(model):
            return route
        if model in self._local_models():
            return self._direct(model, "local", model)
        for pattern, provider in self._patterns:
            if provider in self._providers and fnmatchcase(model, pattern):
                return self._direct(model, provider, model)
        if self.panels is not None and (panel := self.panels.named(model)) is not None:
            return Route(model, [], panel=panel)
        if model in self._absent_models():
            return self._direct(model, "local", model)
        near = difflib.get_close_matches(model, self.names(), 1)
        hint = f" Did you mean '{near[0]}'?" if near else " GET /v1/models lists what there is."
        raise NotFound(f"Model '{model[:200]}' not found.{hint}", param="model", code="model_not_found")

    def _direct(self, name: str, provider: str, model: str) -> Route:
        return Route(name, [Deployment(self._providers[provider], model, self._clocks)])
