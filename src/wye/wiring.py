"""The composition root: a configuration becomes a running application. The one module that knows every driver."""

from __future__ import annotations

import asyncio
import difflib
import socket
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from wye.api.app import App
from wye.api.figures import Siblings
from wye.api.pages import Pages
from wye.canon.usage import Usage
from wye.catalog.encoders import ENCODERS
from wye.catalog.local_models import CARDS
from wye.catalog.presets import PRESETS
from wye.config.load import config_from, load_config
from wye.config.schema import (
    AttachedConfig,
    Config,
    DeploymentConfig,
    PanelConfig,
    ProviderConfig,
    RouteConfig,
)
from wye.dialects.bedrock_invoke.families import family_of_model
from wye.dialects.detect import named
from wye.dialects.openai_embeddings import DIALECT as EMBEDDINGS
from wye.dialects.registry import DIALECTS
from wye.drivers.http import HttpTransport
from wye.drivers.memory.state import MemoryState
from wye.drivers.socket.server import StateServer
from wye.drivers.socket.state import SocketState
from wye.engines.attached import Attached, AttachedEngine
from wye.engines.llama_cpp.engine import LlamaCppEngine
from wye.engines.machine import usable_cores, usable_memory_bytes
from wye.engines.onnx.engine import OnnxEngine
from wye.engines.pool import EnginePool
from wye.engines.weights import LocalWeights, card_of_file
from wye.gateway.cache.control import CachePolicy
from wye.gateway.deployment import Deployment, Route
from wye.gateway.orchestrated import Cost, unknown_cost
from wye.gateway.pipeline import Pipeline
from wye.gateway.policy.conversations import Conversations
from wye.gateway.policy.kept_responses import KeptResponses
from wye.gateway.request_log import RequestLog
from wye.gateway.routing.health import Health
from wye.gateway.routing.router import Router
from wye.gateway.routing.shared_health import SharedHealth
from wye.gateway.routing.strategies import order_by
from wye.kernel.errors import ConfigError, MissingExtra, OutOfMemory
from wye.kernel.ids import new_id
from wye.knowledge.attachments import LibraryAttachments
from wye.knowledge.citing import LibraryCiting
from wye.knowledge.file_search import LibraryFileSearches
from wye.knowledge.on_demand import LibraryOnDemand
from wye.orchestration.late import LatePanel, LatePanels
from wye.ports.engine import Address, Engine, LocalModel
from wye.ports.inference import Panel, Panels
from wye.ports.provider import Provider
from wye.ports.state import State
from wye.ports.telemetry import Telemetry
from wye.ports.transport import Clocks, Transport
from wye.ports.weights import ModelCard
from wye.providers.aws import AwsCredentials, AwsSettings
from wye.providers.azure import AzureProvider
from wye.providers.bedrock import BedrockProvider, BedrockRuntime
from wye.providers.endpoint import header_line, read_address
from wye.providers.local import LocalProvider
from wye.providers.local_embeddings import LocalEmbeddings
from wye.providers.rows import ROWS
from wye.providers.upstream import UpstreamProvider
from wye.providers.wye import WyeProvider
from wye.wiring_admission import make_admission, make_prices
from wye.wiring_documents import make_embedder, make_library, rooms_of, sessions_of


def create_app(
    config: Config | Mapping[str, Any] | Path | str | None = None,
    *,
    state_socket: Path | None = None,
    server: str | None = None,
) -> App:
    """The ASGI application.

    `config` is a Config, the values of a `wye.yaml`, or the path of one; None reads `./wye.yaml` and the environment as
    `wye serve` does. `state_socket` is where `keep_state` serves what several workers share, `server` a name of
    which they know each other. Raises ConfigError. Nothing is started before the server's lifespan begins.
    """
    return _made(_read(config), state_socket, server)[0]


def create_worker(config: Config) -> tuple[App, LibraryOnDemand]:
    """What reads documents: all that an application is, but its local models are loaded by those who ask for them."""
    alone = msgspec.structs.replace(config.local, preload=[], preset=None)
    return _made(msgspec.structs.replace(config, local=alone), None, new_id("worker-"))


def _read(config: Config | Mapping[str, Any] | Path | str | None) -> Config:
    match config:
        case Config():
            return config
        case None:
            return load_config()
        case str() | Path():
            return load_config(file=Path(config))
        case _:
            return config_from(config)


def _made(config: Config, state_socket: Path | None, server: str | None) -> tuple[App, LibraryOnDemand]:
    transport = HttpTransport(proxies=config.proxies)
    engine = make_engine(config, transport) if config.local.enabled else None
    providers = make_providers(config, transport)
    encoders = make_encoders(config) if config.local.enabled else None
    if engine is not None and encoders is not None:
        vectors = LocalEmbeddings(encoders, EMBEDDINGS)
        providers["local"] = LocalProvider("local", DIALECTS["openai_chat"], engine, transport, vectors)

    def demand_room(models: Collection[str]) -> None:
        if engine is not None:
            engine.demand_room([model for model in models if model not in config.routes])

    routes = [
        Route(
            name,
            [_deployment(name, providers, route, d) for d in route.deployments],
            route.strict,
            order=order_by(route.strategy),
            retries=route.retries,
            cache=CachePolicy(route.cache.ttl_s, route.cache.shared) if route.cache and route.cache.enabled else None,
            continue_after_cut=route.continue_after_cut,
            panel=_panel(name, route.orchestration, demand_room) if route.orchestration is not None else None,
        )
        for name, route in config.routes.items()
    ]
    if engine is not None:
        aliases = [(alias, model) for alias, model in config.local.aliases.items() if alias not in config.routes]
        routes += [Route(alias, [Deployment(providers["local"], model, Clocks())]) for alias, model in aliases]

    def local_models() -> list[LocalModel]:
        return [model for source in (engine, encoders) if source is not None for model in source.models()]

    router = Router(
        routes,
        providers,
        patterns=[(pattern, row.name) for row in ROWS.values() for pattern in row.patterns],
        local_models=lambda: [model.id for model in local_models() if model.status != "absent"],
        clocks=Clocks(),
        panels=_panels(config, engine, demand_room),
        absent_models=lambda: [model.id for model in local_models() if model.status == "absent"],
    )
    state = make_state(config, state_socket)
    kept = state
    if config.cache.store == "memory" and config.redis.url is not None:
        kept = MemoryState(config.cache.max_mb * MiB)
    health = SharedHealth(state, routes, config.cache.namespace) if state.shared else None
    telemetry = make_telemetry(config)
    admission = make_admission(config, state, telemetry)
    library = make_library(config, encoders, lambda: embedder)
    attachments = LibraryAttachments(library)
    pipeline = Pipeline(
        admission.auth,
        router,
        admission.settlement,
        Conversations(make_responses(state, config.cache.namespace), state, config.cache.namespace),
        state,
        kept,
        config.cache.namespace,
        config.default_model,
        attachments,
        _cost(config),
        LibraryFileSearches(library),
        sessions_of(library),
        LibraryCiting(attachments),
    )
    embedder = make_embedder(config, encoders, pipeline)
    siblings = Siblings(pipeline, state, f"{config.cache.namespace}:{server}", config.server.workers if server else 1)
    answer_model = config.documents.answer_model or config.default_model
    if answer_model is None and engine is not None:
        answer_model = DEFAULT_LOCAL_MODEL
    rooms = rooms_of(library, pipeline, answer_model)
    plain, anthropic = DIALECTS["openai_chat"], DIALECTS["anthropic_messages"]
    pages = Pages(pipeline, siblings, engine, encoders, plain, anthropic, rooms, library)

    async def start() -> None:
        for told in telemetry:
            await told.start()
        await state.start()
        await admission.start()
        if health is not None:
            health.start()
        pipeline.conversations.background.listen()
        siblings.listen()
        if engine is not None:
            await engine.start()
        await library.start()

    async def stop() -> None:
        await library.stop()  # what it asks models for is in the ledger, too
        await admission.stop()
        local = [source.close() for source in (engine, encoders) if source is not None]
        await asyncio.gather(state.stop(), transport.close(), *local)
        await asyncio.gather(*(told.stop() for told in telemetry))

    limit = config.server.body_limit_mb * MiB
    app = App(pipeline, pages.app(), DIALECTS["openai_chat"], body_limit=limit, lifespan=(start, stop))
    return app, library


def _deployment(name: str, providers: dict[str, Provider], route: RouteConfig, section: DeploymentConfig) -> Deployment:
    provider = providers.get(section.provider)
    if provider is None:
        reason = "switched off by local.enabled" if section.provider == "local" else "known but needs a base_url"
        raise ConfigError(f"routes.{name}: the provider {section.provider!r} is {reason}")
    allowed_fails = route.allowed_fails
    if allowed_fails is None and len(route.deployments) > 1:
        allowed_fails = _ALLOWED_FAILS
    return Deployment(
        provider,
        section.model,
        section.clocks,
        named(section.api) if section.api else None,
        weight=section.weight,
        context_length=section.context_length,
        health=Health(allowed_fails, route.cooldown_s),
        takes_prefill=provider.takes_prefill(section.model) if section.prefill is None else section.prefill,
    )


def _panels(config: Config, engine: Engine | None, demand_room: Callable[[Collection[str]], None]) -> LatePanels:
    """Those that are asked for by the names of modes and presets, or by a request's `orchestration_mode`."""
    section, aliases = config.orchestration, config.local.aliases

    def load() -> Panels:
        from wye.orchestration.panel import ModelPanels  # noqa: PLC0415 - imported when first asked for
        from wye.orchestration.plan import Bounds, Candidate  # noqa: PLC0415

        def at_hand() -> list[Candidate]:
            models = [model for model in (engine.models() if engine is not None else []) if model.id not in aliases]
            roles = {model.id: model.roles for model in models}
            named = section.models or [model.id for model in models if model.status == "loaded"]
            return [Candidate(name, roles.get(name, ())) for name in named]

        return ModelPanels(msgspec.convert(section, Bounds, from_attributes=True), at_hand, demand_room)

    return LatePanels(load)


def _cost(config: Config) -> Cost:
    """What tokens cost, where a panel may cost only so much. Raises MissingExtra."""
    panels = [config.orchestration, *(route.orchestration for route in config.routes.values() if route.orchestration)]
    if all(panel.max_cost_usd is None for panel in panels):
        return unknown_cost
    prices = make_prices(config, "orchestration.max_cost_usd")

    def cost(deployment: Deployment, usage: Usage) -> int | None:
        if deployment.provider.name == "local":
            return 0
        price = prices.of(deployment.provider.name, deployment.model)
        return None if price is None else price.cost_micro_usd(usage)

    return cost


def _panel(name: str, section: PanelConfig, demand_room: Callable[[Collection[str]], None]) -> LatePanel:
    """The one of a configured route."""

    def load() -> Panel:
        from wye.orchestration.panel import ModelPanel  # noqa: PLC0415 - imported when first asked for
        from wye.orchestration.plan import Bounds, Wish  # noqa: PLC0415

        wish = Wish(name, section.mode, tuple(section.models))
        return ModelPanel(wish, msgspec.convert(section, Bounds, from_attributes=True), list, demand_room)

    return LatePanel(name, load)


def make_state(config: Config, state_socket: Path | None = None) -> State:
    """What replicas and workers share. Raises ConfigError, MissingExtra."""
    url = config.redis.url
    if url is None:
        if config.cache.store == "redis":
            raise ConfigError("cache.store is redis: set redis.url or REDIS_URL")
        return SocketState(state_socket) if state_socket is not None else MemoryState(config.cache.max_mb * MiB)
    try:
        from wye.drivers.redis.state import RedisState  # noqa: PLC0415 - an extra, imported only when used
    except ImportError:
        raise MissingExtra("redis.url", "redis") from None
    try:
        return RedisState(url)
    except ValueError as error:
        raise ConfigError(f"redis.url cannot be used: {error}") from None


def make_responses(state: State, namespace: str) -> KeptResponses:
    """Answers to go on from: where replicas share them, else in a part of the memory that is theirs alone."""
    own = MemoryState(_RESPONSES_MB * MiB)
    return KeptResponses(state if state.shared else MemoryState(_RESPONSES_MB * MiB), own, namespace)


def keep_state(config: Config, listener: socket.socket) -> None:
    """Keep what workers share where there is no Redis; for a process that does nothing else, until it is ended."""
    asyncio.run(StateServer(MemoryState(config.cache.max_mb * MiB), listener).run())


def make_telemetry(config: Config) -> list[Telemetry]:
    """Who is told of every call. Raises ConfigError, MissingExtra."""
    told: list[Telemetry] = []
    if not 0 <= config.server.log_calls <= 1:
        raise ConfigError(f"server.log_calls is a share from 0 to 1, not {config.server.log_calls}")
    if config.server.log_calls:
        told.append(RequestLog(config.server.log_calls))
    section = config.telemetry
    if section.endpoint is not None:
        if not 0 <= section.traces <= 1:
            raise ConfigError(f"telemetry.traces is a share from 0 to 1, not {section.traces}")
        if not section.endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"telemetry.endpoint is a URL as in http://127.0.0.1:4318, not {section.endpoint!r}")
        try:
            from wye.drivers.otel.telemetry import OtelTelemetry  # noqa: PLC0415 - an extra, imported only when used
        except ModuleNotFoundError:
            raise MissingExtra("telemetry.endpoint", "otel") from None
        kinds = {name: name for name in ROWS} | {n: p.kind or n for n, p in config.providers.items()}
        vendors = {name: ROWS[kind].telemetry_name or kind for name, kind in kinds.items() if kind in ROWS}
        headers = {name: value.reveal() for name, value in section.headers.items()}
        told.append(OtelTelemetry(section.endpoint, headers, section.service_name, section.traces, vendors))
    return told


def make_engine(config: Config, transport: Transport) -> EnginePool:
    """The models of this machine, started by the application's lifespan or by whoever asks for one."""
    local, workers = config.local, config.server.workers
    preload = [local.aliases.get(name, name) for name in preloaded(config)]
    limit_bytes = int(local.memory_limit_gb * 1024**3) if local.memory_limit_gb else usable_memory_bytes() * 3 // 4
    llama_cpp = LlamaCppEngine(
        local_cards(config),
        make_weights(config),
        slots=local.max_concurrent,
        context_length=local.context_length,
        memory_limit_bytes=limit_bytes // max(1, workers),
        preload=[name for name in dict.fromkeys(preload) if name not in local.attached],
    )
    attached = AttachedEngine({name: _attached(name, at) for name, at in local.attached.items()}, transport)
    pool = EnginePool(
        [llama_cpp, attached],
        queue_max_size=local.queue_max_size,
        queue_strategy=local.queue_strategy,
        aliases=_known_aliases(local.aliases, [*llama_cpp.models(), *attached.models()]),
        idle_unload_s=local.idle_unload_s,
        kept=[*preload, *local.attached],
    )
    if local.preset is not None:
        try:
            pool.demand_room(preload)
        except OutOfMemory as error:
            raise ConfigError(f"local.preset: {local.preset} does not fit: {error.message}") from None
    return pool


def preloaded(config: Config) -> list[str]:
    """The models to load at start. Raises ConfigError for a preset that there is not."""
    local = config.local
    if local.preset is None:
        by_default = [] if config.routes else [DEFAULT_LOCAL_MODEL]
        return local.preload if local.preload is not None else by_default
    if local.preset not in PRESETS:
        near = difflib.get_close_matches(local.preset, PRESETS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(PRESETS)}"
        raise ConfigError(f"local.preset: unknown preset {local.preset!r}; {hint}")
    return list(dict.fromkeys([*(local.preload or []), *PRESETS[local.preset].models]))


def _attached(name: str, section: AttachedConfig) -> Attached:
    setting = f"local.attached.{name}"
    origin, prefix = read_address(f"{setting}.base_url", section.base_url)
    key = section.api_key
    headers = header_line(setting, "authorization", f"Bearer {key.reveal()}") if key else b""
    address = Address(origin, prefix.removesuffix("/v1").encode(), headers, section.model)
    return Attached(address, section.base_url, section.max_concurrent, section.context_length, tuple(section.roles))


def _known_aliases(aliases: dict[str, str], models: list[LocalModel]) -> dict[str, str]:
    known = [model.id for model in models]
    for alias, model in aliases.items():
        if model not in known:
            raise ConfigError(f"local.aliases.{alias}: unknown local model {model!r}; known: {', '.join(known)}")
    return aliases


def make_encoders(config: Config) -> OnnxEngine:
    """The models for embeddings and reranking: each started by the first who asks for it."""
    return OnnxEngine(ENCODERS, make_weights(config), threads=max(1, usable_cores() - 1))


def local_cards(config: Config) -> dict[str, ModelCard]:
    """The models this machine can run: those known by the catalog, and the configured files of one's own."""
    own = {name: card_of_file(name, Path(path).expanduser()) for name, path in config.local.files.items()}
    return {**CARDS, **own}


_ALLOWED_FAILS = 3
_RESPONSES_MB = 64
MiB = 1024 * 1024
DEFAULT_LOCAL_MODEL = next(iter(CARDS))


def make_weights(config: Config) -> LocalWeights:
    return LocalWeights(Path(config.local.models_dir or Path(config.home or ".") / "models").expanduser())


def make_providers(config: Config, transport: Transport) -> dict[str, Provider]:
    """Every account that is configured, and every known provider that needs no more than its key."""
    sections = {name: ProviderConfig() for name, row in ROWS.items() if row.base_url} | config.providers
    return {
        name: _make_provider(name, section, transport)
        for name, section in sections.items()
        if name != "local" and not _is_key_alone(name, section)
    }


def _is_key_alone(name: str, section: ProviderConfig) -> bool:
    """Whether this is no account, but a key that the environment holds, perhaps for another program."""
    found = ProviderConfig(api_key=section.api_key, bearer_token=section.bearer_token, api_version=section.api_version)
    return name in ROWS and bool(ROWS[name].key_env) and not ROWS[name].base_url and section == found


def _make_provider(name: str, section: ProviderConfig, transport: Transport) -> Provider:
    row = ROWS[section.kind or name]
    changes = {
        key: value
        for key, value in (("max_tokens_key", section.max_tokens_key), ("stream_usage", section.stream_usage))
        if value is not None
    }
    quirks = msgspec.structs.replace(row.quirks, **changes)
    base_url = section.base_url or row.base_url
    if row.name == "bedrock":
        return BedrockProvider(
            name, make_bedrock(name, section), DIALECTS["bedrock_converse"], family_of_model, transport, quirks
        )
    if row.name == "azure":
        return AzureProvider(
            name,
            row,
            DIALECTS,
            transport,
            base_url=base_url,
            api_version=section.api_version,
            api_key=section.api_key,
            bearer_token=section.bearer_token,
            headers=section.headers,
            quirks=quirks,
        )
    kind = WyeProvider if row.name == "wye" else UpstreamProvider
    return kind(
        name,
        row,
        DIALECTS,
        transport,
        base_url=base_url,
        api_key=section.api_key,
        headers=section.headers,
        quirks=quirks,
    )


def make_bedrock(name: str, section: ProviderConfig) -> BedrockRuntime:
    """The Bedrock account that a section describes. Raises ConfigError; asks nothing of AWS."""
    settings = AwsSettings(
        region=section.region,
        bearer_token=section.api_key,
        access_key_id=section.access_key_id,
        secret_access_key=section.secret_access_key,
        session_token=section.session_token,
        profile=section.profile,
        role_arn=section.role_arn,
        external_id=section.external_id,
        web_identity_token_file=section.web_identity_token_file,
    )
    return BedrockRuntime(name, AwsCredentials(name, settings), section.endpoint_url)
