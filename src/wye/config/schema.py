"""Every setting, with its unit and its default. `docs/configuration.md` is generated from this file.

An unknown key is an error that suggests the nearest known one (`load.py`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from wye.catalog.roles import Role
from wye.kernel.secret import Secret
from wye.ports.transport import Clocks


class Setting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of every section: unknown keys are refused."""


class ServerConfig(Setting):
    """Where Wye listens and whom it answers."""

    host: str = "127.0.0.1"
    """Address to listen on. Any other than loopback needs an API key, or `allow_open`."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    api_key: Secret | None = None
    """The key that callers must present. None leaves the server open, on loopback only."""
    aws_access_key_id: str | None = None
    """With the next, a pair for AWS clients, which sign their calls. Without it, `wye` and `api_key` are one."""
    aws_secret_access_key: Secret | None = None
    """The secret of that pair."""
    allow_open: bool = False
    """Listen on other addresses without a key all the same."""
    body_limit_mb: int = 50
    """Largest request body, in MiB; a larger one is refused with 413."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much to log."""
    log_format: Literal["text", "json"] = "text"
    """`json` writes one object a line, for programs that collect logs."""
    log_calls: float = 0.0
    """The share of calls, 0 to 1, that get a line in the log; above 0, every one that failed gets it too."""
    workers: int = 1
    """Processes that answer, of `wye serve`. The cache, kept Responses, who is cooling down and limits per key are
    shared, figures are those of all together; local models are each process's own, in their part of the memory."""
    grace_s: float = 30.0
    """How long running answers may take to finish after a SIGTERM, in seconds."""


class ProviderConfig(Setting):
    """One upstream account: where it is, and as whom Wye calls it."""

    kind: str | None = None
    """A known provider (`openai`, `anthropic`, `bedrock`, ...); by default the section's own name."""
    base_url: str | None = None
    """Address up to and including the version, as the vendor's SDK takes it."""
    api_key: Secret | None = None
    """Key for this account."""
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Further headers to send with every call."""
    max_tokens_key: Literal["max_tokens", "max_completion_tokens"] | None = None
    """Which of OpenAI's two names for the answer's limit this upstream understands."""
    stream_usage: bool | None = None
    """Whether this upstream accepts `stream_options.include_usage`."""
    api_version: str | None = None
    """Azure: a dated one calls deployments by their name; without, or with `preview`, the v1 API is called."""
    bearer_token: Secret | None = None
    """Azure: a token of Entra ID, in place of `api_key`."""
    region: str | None = None
    """Bedrock: by default AWS_REGION, AWS_DEFAULT_REGION, or that of the profile."""
    endpoint_url: str | None = None
    """Bedrock: another address than the region's, http or https."""
    access_key_id: str | None = None
    """Bedrock: static keys, with `secret_access_key`. An `api_key`, Bedrock's bearer token, goes before them."""
    secret_access_key: Secret | None = None
    """Bedrock: the secret of `access_key_id`."""
    session_token: Secret | None = None
    """Bedrock: what temporary static keys need beside."""
    profile: str | None = None
    """Bedrock: a profile of AWS's shared files, where there are no static keys."""
    role_arn: str | None = None
    """Bedrock: a role to assume with the credentials of the default chain, or with `web_identity_token_file`."""
    external_id: str | None = None
    """Bedrock: what the role's owner asks for when it is assumed."""
    web_identity_token_file: str | None = None
    """Bedrock: the file that holds the web identity for `role_arn`."""


class PriceConfig(Setting):
    """What a million tokens cost, in dollars."""

    input_usd: float
    """Of the input."""
    output_usd: float = 0.0
    """Of the output."""
    cached_usd: float | None = None
    """Of input that the upstream had cached; by default as other input."""


class DeploymentConfig(Setting):
    """One model at one provider."""

    provider: str
    """A section of `providers`, or a provider that exists by itself."""
    model: str
    """The model's name at that provider."""
    api: str | None = None
    """The format to ask it in (`chat`, `responses`, ...) where the provider knows several; else the caller's own."""
    weight: float = 1.0
    """Its share of the calls; 0 is a fallback, asked only where the others fail."""
    context_length: int | None = None
    """Tokens that fit. What is longer goes to deployments that hold more, where there are any."""
    prefill: bool | None = None
    """Whether the model goes on from a last message of the assistant; by default what is known of it."""
    price: PriceConfig | None = None
    """What it costs, where that is not what the package genai-prices knows: `input_usd`, `output_usd`, `cached_usd`."""
    clocks: Clocks = Clocks()
    """How long to wait: `connect_s`, `headers_s`, `first_token_s`, `gap_s`."""


class RouteCacheConfig(Setting):
    """Answers of a route that are kept and given again to the same question, also while they are under way."""

    enabled: bool = True
    """Whether this route keeps answers."""
    ttl_s: float = 604800.0
    """How long an answer is kept."""
    shared: bool = False
    """Whether callers with different keys get each other's answers."""


class OrchestrationBounds(Setting):
    """What one request to several models may use."""

    max_rounds: int = 2
    """Critique: how often the answer is criticised and revised at most."""
    quorum: int | None = None
    """Debate and ensemble: how many models must answer; by default half of them."""
    max_calls: int = 16
    """Calls to models."""
    max_tokens: int = 200_000
    """Input and output tokens of all calls; checked before each call with an estimate of what it needs."""
    max_cost_usd: float | None = None
    """What all calls may cost, counted as tokens are; a model whose price is not known is refused then."""
    step_max_tokens: int = 1024
    """Output tokens of one step on the way, where the caller sets no `max_tokens`."""
    timeout_s: float = 600.0
    """Time for the whole answer."""


class OrchestrationConfig(OrchestrationBounds):
    """Models that answer together by the names of modes and presets, or by `orchestration_mode` in a request."""

    models: list[str] = msgspec.field(default_factory=list[str])
    """Whom a mode takes where it is not told which models; by default the local ones that are loaded."""


class PanelConfig(OrchestrationBounds, kw_only=True):
    """Models that answer together under one public name."""

    mode: Literal["single", "critique", "debate", "ensemble", "pipeline"]
    """How they work together."""
    models: list[str]
    """Public names. In critique the first writes and the others criticise; in debate and ensemble the first also joins
    the answers; a pipeline runs in this order."""


class BudgetConfig(Setting):
    """So much money in a time."""

    usd: float
    """Dollars."""
    per: Literal["day", "month", "total"] = "month"
    """A day or a month of UTC, or once."""


class RouteConfig(Setting):
    """A public model name and who answers for it: `deployments`, or several models together."""

    deployments: list[DeploymentConfig] = msgspec.field(default_factory=list[DeploymentConfig])
    """Who may answer. The first to be asked is chosen by the strategy; the others follow where it fails."""
    orchestration: PanelConfig | None = None
    """Models that answer together, in place of deployments."""
    strategy: Literal["weighted", "least_busy", "lowest_latency", "priority"] = "weighted"
    """Each by its weight in turn, the one with the fewest calls under way, the quickest, or the first of the list."""
    retries: int = 2
    """How often the same deployment is asked again after a failure that may pass."""
    allowed_fails: int | None = None
    """After so many failures in a row a deployment is left alone; by default 3 where there are others, else never."""
    cooldown_s: float = 30.0
    """How long it is left alone; then one call may try it."""
    cache: RouteCacheConfig | None = None
    """Keep answers; by default every call is asked."""
    continue_after_cut: bool = False
    """Let another deployment go on with a streamed text whose upstream broke off, where one takes such a beginning."""
    strict: bool = False
    """Refuse a request that the upstream's dialect cannot carry whole, instead of reporting the loss."""
    budget: BudgetConfig | None = None
    """What its calls may cost, of all callers and at all replicas together: `usd`, and `per` which time."""


class LimitsConfig(Setting):
    """What each key may use, at all replicas together. None means without limit."""

    requests_per_minute: int | None = None
    """Calls in any minute."""
    tokens_per_minute: int | None = None
    """Input and output tokens in any minute."""
    concurrent: int | None = None
    """Calls at the same time."""


class KeysConfig(Setting):
    """Keys that `wye keys` issues to callers, each with limits and budgets of its own."""

    enabled: bool = False
    """Answer those who have one, and nobody without a key."""


class UsageConfig(Setting):
    """What `wye usage` tells: who used what, and what it cost."""

    ledger: bool | None = None
    """Write every call into the database; by default where issued keys are answered, or a route has a budget."""


class RedisConfig(Setting):
    """A Redis or Valkey server for what replicas share: kept answers, those under way, Responses to go on from,
    who is cooling down, what each key has used."""

    url: Secret | None = None
    """`redis://[:PASSWORD@]HOST[:PORT][/DB]`, `rediss://` with TLS; by default REDIS_URL. None keeps all in memory."""


class TelemetryConfig(Setting):
    """Traces and metrics, in OpenTelemetry's names for generative AI, sent over OTLP (HTTP, protobuf)."""

    endpoint: str | None = None
    """The collector, as in `http://127.0.0.1:4318`; by default OTEL_EXPORTER_OTLP_ENDPOINT. None sends nothing."""
    headers: dict[str, Secret] = msgspec.field(default_factory=dict[str, Secret])
    """Headers for the collector."""
    service_name: str = "wye"
    """The name under which this server is seen; by default OTEL_SERVICE_NAME."""
    traces: float = 1.0
    """The share of traces that are sent, 0 to 1; a caller's own `traceparent` decides before it."""


class CacheConfig(Setting):
    """Where kept answers are."""

    max_mb: int = 256
    """Of memory, for all routes together; the answers not used for longest go first."""
    store: Literal["memory", "redis"] | None = None
    """By default Redis where `redis.url` is set."""
    namespace: str = "wye"
    """The beginning of every key in a shared store: what has the same belongs together."""


class AttachedConfig(Setting):
    """A model of a server elsewhere, asked as if it were here: vLLM, SGLang, llama-server, another Wye."""

    base_url: str
    """Address of its OpenAI-style API, up to and including the version."""
    model: str | None = None
    """The model's name there, where that is another."""
    api_key: Secret | None = None
    """Key for that server."""
    context_length: int | None = None
    """Tokens per conversation; by default what the server tells, else 8192."""
    roles: list[Role] = msgspec.field(default_factory=list[Role])
    """What the model is good for."""
    max_concurrent: int = 4
    """Answers at the same time. Who comes later waits in the model's queue."""


class StorageConfig(Setting):
    """Where files, documents and what was asked of them are kept."""

    url: Secret | None = None
    """`sqlite:///FILE`, or `postgresql://USER[:PASSWORD]@HOST[:PORT]/NAME`; by default DATABASE_URL, else the file
    `wye.db` in Wye's home folder. Tables are made at first use."""
    blobs: str | None = None
    """Where the files' contents are: a folder, or `s3://BUCKET[/PREFIX]` with the credentials that AWS's own tools
    would find; by default the folder `blobs` in Wye's home folder."""
    blobs_endpoint_url: str | None = None
    """The address of an S3-compatible store that is not AWS's, as in `http://minio.internal:9000`."""


class DocumentsConfig(Setting):
    """Files that are read, so that they can be asked."""

    max_upload_mb: int = 50
    """Largest file, in MiB; a larger one is refused with 413."""
    embedding_model: str = "bge-small-en-v1.5"
    """Who makes vectors of their passages: a model on this machine, a route, or a model of a provider, as in
    `openai/text-embedding-3-small`. Without any they are found by their words alone."""
    rerank: bool = True
    """Whether the best passages are read once more together with the question: better, for about a second of a core."""
    answer_model: str | None = None
    """Who answers questions that name no model; by default `default_model`, else the local model in the box."""
    readers: int = 2
    """How many documents each process reads at one time. 0 leaves them to `wye worker`."""


class LocalConfig(Setting):
    """Models that run on this machine."""

    enabled: bool = True
    """Whether to offer local models at all."""
    models_dir: str | None = None
    """Where fetched model files are kept; by default `models` in Wye's home folder."""
    preload: list[str] | None = None
    """Models to load at start; by default the bundled one when no route is configured."""
    preset: str | None = None
    """A known combination of models (`S1` to `P6`) to load at start, beside those of `preload`."""
    aliases: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Other names under which a local model answers."""
    files: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Model files of your own: public name to path of a GGUF file."""
    attached: dict[str, AttachedConfig] = msgspec.field(default_factory=dict[str, AttachedConfig])
    """Models of servers elsewhere, by their public names."""
    max_concurrent: int = 4
    """Answers at the same time, per model. Who comes later waits in the model's queue."""
    queue_max_size: int = 10
    """How many may wait for a model; the next one is refused with 503."""
    queue_strategy: Literal["fifo", "priority"] = "fifo"
    """Who waits is served in the order of coming, or by the request's `priority` (3 before 2 before 1) first."""
    idle_unload_s: float | None = None
    """Unload a model that has had nothing to do for so long; those that are preloaded stay. None keeps all."""
    context_length: int | None = None
    """Tokens per conversation; by default what the model was made for, at most 8192."""
    memory_limit_gb: float | None = None
    """Refuse to load a model beyond this; by default three quarters of the machine's memory."""


class Config(Setting):
    """The whole of `wye.yaml`."""

    server: ServerConfig = msgspec.field(default_factory=ServerConfig)
    providers: dict[str, ProviderConfig] = msgspec.field(default_factory=dict[str, ProviderConfig])
    """Upstream accounts. Those of the known providers that have an address, and `local`, exist by themselves."""
    routes: dict[str, RouteConfig] = msgspec.field(default_factory=dict[str, RouteConfig])
    """Public model names. Models of a known provider need none: their names are recognised."""
    limits: LimitsConfig = msgspec.field(default_factory=LimitsConfig)
    keys: KeysConfig = msgspec.field(default_factory=KeysConfig)
    usage: UsageConfig = msgspec.field(default_factory=UsageConfig)
    redis: RedisConfig = msgspec.field(default_factory=RedisConfig)
    cache: CacheConfig = msgspec.field(default_factory=CacheConfig)
    telemetry: TelemetryConfig = msgspec.field(default_factory=TelemetryConfig)
    storage: StorageConfig = msgspec.field(default_factory=StorageConfig)
    documents: DocumentsConfig = msgspec.field(default_factory=DocumentsConfig)
    local: LocalConfig = msgspec.field(default_factory=LocalConfig)
    orchestration: OrchestrationConfig = msgspec.field(default_factory=OrchestrationConfig)
    default_model: str | None = None
    """The model for requests that name none."""
    proxies: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Proxies for upstream calls, as `http`, `https` and `no`; by default HTTP_PROXY, HTTPS_PROXY and NO_PROXY."""
    home: str | None = None
    """Wye's own folder; by default WYE_HOME, or `wye` in the user's data folder."""
