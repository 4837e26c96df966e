"""Settings from their five sources: flags over environment over file over what was saved over defaults.

Every error says where.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec

from wye.config.saved import NAME as SAVED
from wye.config.saved import read_saved
from wye.config.schema import BudgetConfig, Config, OrchestrationBounds, RouteConfig
from wye.config.sources import Path_, Tree, home_folder, read_document, read_environment
from wye.kernel.errors import ConfigError
from wye.kernel.secret import Secret
from wye.providers.rows import ROWS

ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "API_KEY": ("server", "api_key"),
    "WYE_AWS_ACCESS_KEY_ID": ("server", "aws_access_key_id"),
    "WYE_AWS_SECRET_ACCESS_KEY": ("server", "aws_secret_access_key"),
    "LOG_LEVEL": ("server", "log_level"),
    "DEFAULT_MODEL": ("default_model",),
    "REDIS_URL": ("redis", "url"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("telemetry", "endpoint"),
    "OTEL_SERVICE_NAME": ("telemetry", "service_name"),
    "DATABASE_URL": ("storage", "url"),
    **{row.key_env: ("providers", row.name, "api_key") for row in ROWS.values() if row.key_env},
    "AZURE_OPENAI_AD_TOKEN": ("providers", "azure", "bearer_token"),
    "AZURE_OPENAI_ENDPOINT": ("providers", "azure", "base_url"),
    "OPENAI_API_VERSION": ("providers", "azure", "api_version"),
    "AWS_ACCESS_KEY_ID": ("providers", "bedrock", "access_key_id"),
    "AWS_SECRET_ACCESS_KEY": ("providers", "bedrock", "secret_access_key"),
    "AWS_SESSION_TOKEN": ("providers", "bedrock", "session_token"),
    "AWS_PROFILE": ("providers", "bedrock", "profile"),
    "AWS_ROLE_ARN": ("providers", "bedrock", "role_arn"),
    "AWS_EXTERNAL_ID": ("providers", "bedrock", "external_id"),
    "AWS_WEB_IDENTITY_TOKEN_FILE": ("providers", "bedrock", "web_identity_token_file"),
    "AWS_DEFAULT_REGION": ("providers", "bedrock", "region"),
    "AWS_REGION": ("providers", "bedrock", "region"),
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": ("providers", "bedrock", "endpoint_url"),
}
"""Variables and the settings they stand for; of two for one setting, the later wins."""
_AWS_CREDENTIALS = (
    "access_key_id",
    "secret_access_key",
    "session_token",
    "profile",
    "role_arn",
    "external_id",
    "web_identity_token_file",
)
"""They belong together: the strongest source that has one of them gives all of them."""
_OF_BEDROCK = ("region", "endpoint_url", *_AWS_CREDENTIALS)
_OF_AZURE = ("api_version", "bearer_token")


def load_config(
    *,
    file: Path | None = None,
    env_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[tuple[str, ...], Any] | None = None,
) -> Config:
    """The configuration that a process runs with. `flags` are paths to values; None stands for "not given".

    Raises ConfigError with one clear message that names file and line, all unknown or wrong settings together.
    """
    env = read_environment(env_file) if environment is None else dict(environment)
    home = home_folder(None, env)
    document = read_document(file, {**env, "WYE_HOME": str(home)})
    written = document.values if document else {}
    named: Tree = {}
    for name, path in ENVIRONMENT.items():
        if value := env.get(name):
            put(named, path, value.lower() if path[-1] == "log_level" else value)
    given: Tree = {}
    for path, value in (flags or {}).items():
        if value is not None:
            put(given, path, value)
    # A key that the file gives to a provider is more specific than the environment's for the vendor.
    of_vendors = {"providers": named.pop("providers", {})}
    saved = read_saved(home)
    config_from(saved, lambda _: str(home / SAVED))
    tree: Tree = {}
    for source in (given, named, written, of_vendors, saved):
        _merge(tree, source)
    tree.setdefault("home", str(home))
    proxies = {
        kind: value
        for kind in ("http", "https", "no")
        if (value := env.get(f"{kind}_proxy") or env.get(f"{kind.upper()}_PROXY"))
    }
    if proxies:
        tree.setdefault("proxies", proxies)
    return config_from(tree, document.where if document else None)


def config_from(tree: Mapping[str, Any], where: Callable[[Path_], str] | None = None) -> Config:
    """A configuration from plain values, as a YAML file would hold them; `where` tells the place of a setting.

    Raises ConfigError.
    """
    problems: list[str] = []

    def report(path: Path_, message: str) -> None:
        name = ".".join(map(str, path))
        place = f"{where(path)}: " if where else ""
        problems.append(f"{place}{name}: {message}" if name else f"{place}{message}")

    config: Config | None = _convert(tree, Config, (), report)
    if config is not None and not problems:
        _check(config, report)
    if config is None or problems:
        raise ConfigError("\n".join(problems))
    return config


def put(tree: Tree, path: Sequence[str], value: Any) -> None:
    """Set one value, making the sections above it."""
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def _merge(over: Tree, under: Mapping[str, Any]) -> None:
    """Add to `over` what only `under` says."""
    signs_in = any(over.get(name) for name in _AWS_CREDENTIALS)
    for name, value in under.items():
        mine = over.get(name)
        if mine in (None, ""):
            if not (signs_in and name in _AWS_CREDENTIALS):
                over[name] = value
        elif isinstance(mine, dict) and isinstance(value, dict):
            _merge(cast("Tree", mine), cast("Tree", value))
        elif isinstance(mine, dict) and value is not None:
            over[name] = value  # no section where one belongs: kept, to be reported


_Report = Callable[[Path_, str], None]


def _convert(value: Any, kind: Any, path: Path_, report: _Report) -> Any:
    """`value` as `kind`, going down member by member so that every error has its exact path."""
    if _is_section(kind):
        return _convert_struct({} if value is None else value, kind, path, report)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict and isinstance(value, dict) and _is_section(args[1]):
        named = cast("Tree", value)
        return {name: _convert(item, args[1], (*path, name), report) for name, item in named.items()}
    if origin is list and isinstance(value, list) and _is_section(args[0]):
        listed = cast("list[Any]", value)
        return [_convert(item, args[0], (*path, i), report) for i, item in enumerate(listed)]
    try:
        return msgspec.convert(value, kind, strict=False, dec_hook=_secret)
    except msgspec.ValidationError as error:
        report(path, str(error).replace("`", "'"))
        return None


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _secret(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(str(value))
    raise NotImplementedError(kind)  # pragma: no cover - msgspec asks only for types it does not know


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Each look evaluates all annotations anew, which takes longer than the rest of the reading."""
    return msgspec.structs.fields(kind)


def _convert_struct(value: Any, kind: type[msgspec.Struct], path: Path_, report: _Report) -> Any:
    if not isinstance(value, dict):
        report(path, "must be a section of `name: value` lines")
        return None
    given = cast("Tree", value)
    known = {field.encode_name: field for field in _fields(kind)}
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known))}"
            report((*path, name), f"unknown setting; {hint}")
    members = {
        field.name: _convert(given[name], field.type, (*path, name), report)
        for name, field in known.items()
        if name in given
    }
    for name, field in known.items():
        if field.required and name not in members:
            report(path, f"{name!r} is required")
            return None
    return kind(**members)


def _check_panel(name: str, route: RouteConfig, report: _Report) -> None:
    panel = route.orchestration
    assert panel is not None
    if route.deployments:
        report(("routes", name, "orchestration"), "a route has deployments or orchestration, not both")
    needed = 1 if panel.mode == "single" else 2
    if len(panel.models) < needed:
        report(("routes", name, "orchestration", "models"), f"{panel.mode} needs {needed} models at least")
    if name in panel.models:
        report(("routes", name, "orchestration", "models"), "a panel cannot be a member of itself")
    _check_bounds(("routes", name, "orchestration"), panel, report)


def _check_budget(name: str, route: RouteConfig, budget: BudgetConfig, report: _Report) -> None:
    if route.orchestration is not None:
        report(("routes", name, "budget"), "what a panel costs is bounded by max_cost_usd, and by its members' budgets")
    if not 0 < budget.usd < 1e9:
        report(("routes", name, "budget", "usd"), f"must be more than 0 and less than a billion, not {budget.usd:g}")


def _check_bounds(path: Path_, bounds: OrchestrationBounds, report: _Report) -> None:
    for member in ("max_rounds", "quorum", "max_calls", "max_tokens", "step_max_tokens", "timeout_s"):
        number = getattr(bounds, member)
        if number is not None and number < 1:
            report((*path, member), f"must be at least 1, not {number:g}")
    if bounds.max_cost_usd is not None and bounds.max_cost_usd <= 0:
        report((*path, "max_cost_usd"), f"must be more than 0, not {bounds.max_cost_usd:g}")


def _check(config: Config, report: _Report) -> None:
    """What a type cannot say."""
    attached = config.local.attached
    known = {*config.providers, *ROWS, "local"}
    for name, provider in config.providers.items():
        kind = provider.kind or name
        if kind not in ROWS and name != "local":
            close = difflib.get_close_matches(kind, ROWS, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(ROWS))}"
            report(("providers", name, "kind"), f"unknown kind {kind!r}; {hint}")
        for owner, members in (("azure", _OF_AZURE), ("bedrock", _OF_BEDROCK)):
            for member in members if kind != owner else ():
                if getattr(provider, member) is not None:
                    report(("providers", name, member), f"is a setting of kind {owner!r}, not of {kind!r}")
        if kind == "bedrock" and provider.base_url:
            report(("providers", name, "base_url"), "Bedrock's address is set by endpoint_url")
    for name, route in config.routes.items():
        if route.orchestration is not None:
            _check_panel(name, route, report)
        elif not route.deployments:
            report(("routes", name, "deployments"), "a route needs at least one deployment")
        if route.budget is not None:
            _check_budget(name, route, route.budget, report)
        for i, deployment in enumerate(route.deployments):
            if deployment.provider not in known:
                close = difflib.get_close_matches(deployment.provider, known, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
                report(
                    ("routes", name, "deployments", i, "provider"), f"unknown provider {deployment.provider!r}; {hint}"
                )
    _check_bounds(("orchestration",), config.orchestration, report)
    for name in config.proxies.keys() - {"http", "https", "no"}:
        report(("proxies", name), "unknown setting; known here: http, https, no")
    for section, number, least in (
        ("server.port", config.server.port, 0),
        ("server.body_limit_mb", config.server.body_limit_mb, 1),
        ("documents.max_upload_mb", config.documents.max_upload_mb, 1),
        ("documents.readers", config.documents.readers, 0),
        ("local.max_concurrent", config.local.max_concurrent, 1),
        ("local.queue_max_size", config.local.queue_max_size, 0),
        ("local.idle_unload_s", config.local.idle_unload_s, 1),
        *((f"local.attached.{name}.max_concurrent", at.max_concurrent, 1) for name, at in attached.items()),
        ("limits.requests_per_minute", config.limits.requests_per_minute, 1),
        ("limits.tokens_per_minute", config.limits.tokens_per_minute, 1),
        ("limits.concurrent", config.limits.concurrent, 1),
    ):
        if number is not None and number < least:
            report(tuple(section.split(".")), f"must be at least {least}, not {number}")
