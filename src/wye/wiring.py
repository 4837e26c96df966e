"""The composition root: a configuration becomes a running application. The one module that knows every driver."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from wye.api.app import App, HotRoutes
from wye.api.pages import Pages
from wye.api.routes import HOT_ROUTES
from wye.catalog.local_models import CARDS
from wye.config.load import config_from, load_config
from wye.config.schema import Config, DeploymentConfig, ProviderConfig
from wye.dialects.registry import DIALECTS
from wye.drivers.http import HttpTransport
from wye.drivers.memory.limiter import MemoryLimiter
from wye.engines.llama_cpp.engine import LlamaCppEngine
from wye.engines.weights import LocalWeights, card_of_file
from wye.gateway.deployment import Deployment, Route
from wye.gateway.pipeline import Pipeline
from wye.gateway.policy.auth import Auth
from wye.gateway.routing.router import Router
from wye.gateway.settle import Settlement
from wye.kernel.errors import ConfigError
from wye.ports.limiter import Limits
from wye.ports.provider import Provider
from wye.ports.transport import Clocks, Transport
from wye.ports.weights import ModelCard
from wye.providers.local import LocalProvider
from wye.providers.rows import ROWS
from wye.providers.upstream import UpstreamProvider


def create_app(config: Config | Mapping[str, Any] | Path | str | None = None) -> App:
    """The ASGI application.

    `config` is a Config, the values of a `wye.yaml`, or the path of one; None reads `./wye.yaml` and the environment as
    `wye serve` does. Raises ConfigError. Nothing is started before the server's lifespan begins.
    """
    match config:
        case Config():
            pass
        case None:
            config = load_config()
        case str() | Path():
            config = load_config(file=Path(config))
        case _:
            config = config_from(config)

    transport = HttpTransport(proxies=config.proxies)
    engine = make_engine(config) if config.local.enabled else None
    providers = make_providers(config, transport)
    if engine is not None:
        providers["local"] = LocalProvider("local", DIALECTS["openai_chat"], engine, transport)

    routes = [
        Route(name, [_deployment(name, providers, d) for d in route.deployments], route.strict)
        for name, route in config.routes.items()
    ]
    if engine is not None:
        known = [model.id for model in engine.models()]
        for alias, model in config.local.aliases.items():
            if model not in known:
                raise ConfigError(f"local.aliases.{alias}: unknown local model {model!r}; known: {', '.join(known)}")
            if alias not in config.routes:
                routes.append(Route(alias, [Deployment(providers["local"], model, Clocks())]))
    router = Router(
        routes,
        providers,
        patterns=[(pattern, row.name) for row in ROWS.values() for pattern in row.patterns],
        local_models=lambda: [model.id for model in engine.models()] if engine is not None else [],
        clocks=Clocks(),
    )
    limits = msgspec.convert(config.limits, Limits, from_attributes=True)
    pipeline = Pipeline(
        Auth({"server": config.server.api_key} if config.server.api_key else {}),
        router,
        Settlement(MemoryLimiter(limits) if limits != Limits() else None),
        config.default_model,
    )
    hot: HotRoutes = {path: (route.operation, DIALECTS[route.dialect]) for route in HOT_ROUTES for path in route.paths}
    pages = Pages(pipeline, engine, DIALECTS["openai_chat"], DIALECTS["anthropic_messages"])

    async def start() -> None:
        if engine is not None:
            await engine.start()

    async def stop() -> None:
        await asyncio.gather(transport.close(), *([engine.close()] if engine is not None else []))

    limit = config.server.body_limit_mb * 1024 * 1024
    return App(pipeline, hot, pages.app(), body_limit=limit, lifespan=(start, stop))


def _deployment(route: str, providers: dict[str, Provider], section: DeploymentConfig) -> Deployment:
    provider = providers.get(section.provider)
    if provider is None:
        reason = "switched off by local.enabled" if section.provider == "local" else "known but needs a base_url"
        raise ConfigError(f"routes.{route}: the provider {section.provider!r} is {reason}")
    return Deployment(provider, section.model, section.clocks)


def make_engine(config: Config) -> LlamaCppEngine:
    """The local engine, started by the application's lifespan or by whoever asks it for a model."""
    local = config.local
    return LlamaCppEngine(
        local_cards(config),
        make_weights(config),
        slots=local.max_concurrent,
        context_length=local.context_length,
        memory_limit_bytes=int(local.memory_limit_gb * 1024**3) if local.memory_limit_gb else None,
        preload=local.preload if local.preload is not None else ([] if config.routes else [DEFAULT_LOCAL_MODEL]),
    )


def local_cards(config: Config) -> dict[str, ModelCard]:
    """The models this machine can run: those known by the catalog, and the configured files of one's own."""
    own = {name: card_of_file(name, Path(path).expanduser()) for name, path in config.local.files.items()}
    return {**CARDS, **own}


DEFAULT_LOCAL_MODEL = next(iter(CARDS))


def make_weights(config: Config) -> LocalWeights:
    return LocalWeights(Path(config.local.models_dir or Path(config.home or ".") / "models").expanduser())


def make_providers(config: Config, transport: Transport) -> dict[str, Provider]:
    """Every account that is configured, and every known provider that needs no more than its key."""
    sections = {name: ProviderConfig() for name, row in ROWS.items() if row.base_url} | config.providers
    return {name: _make_provider(name, section, transport) for name, section in sections.items() if name != "local"}


def _make_provider(name: str, section: ProviderConfig, transport: Transport) -> Provider:
    row = ROWS[section.kind or name]
    changes = {
        key: value
        for key, value in (("max_tokens_key", section.max_tokens_key), ("stream_usage", section.stream_usage))
        if value is not None
    }
    return UpstreamProvider(
        name,
        row,
        DIALECTS[row.dialect],
        transport,
        base_url=section.base_url or row.base_url,
        api_key=section.api_key,
        headers=section.headers,
        quirks=msgspec.structs.replace(row.quirks, **changes),
    )
