"""As whom Wye calls AWS: which way of authentication is configured, and the keys that it gives.

Nothing is asked of AWS before the first call. Every way but static keys and bearer tokens is botocore's, the extra
`bedrock`: it reads AWS's own files, asks STS and knows where machines keep their roles.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal, TypeVar

import msgspec

from wye.kernel.errors import ConfigError, MissingExtra, NoDeployment
from wye.kernel.secret import Secret
from wye.kernel.sigv4 import Keys

T = TypeVar("T")
Method = Literal["bearer token", "static keys", "profile", "assumed role", "web identity", "default chain"]

_FRESH_S = 14 * 60
"""Keys that end sooner are renewed. Botocore renews within 15 minutes of the end, and tolerates failing before 10."""
_SESSION_NAME = "wye"
_STS_REGION = "us-east-1"
"""Where STS is asked while no region is known."""
_SENDABLE = re.compile(r"[!-~]+")
_REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")


class AwsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be configured of an AWS account; see `method` for what of it counts."""

    region: str | None = None
    bearer_token: Secret | None = None
    access_key_id: str | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    web_identity_token_file: str | None = None

    def static_keys(self) -> Keys | None:
        if not self.access_key_id or not self.secret_access_key:
            return None
        token = self.session_token.reveal() if self.session_token else None
        return Keys(self.access_key_id, self.secret_access_key.reveal(), token)

    @property
    def method(self) -> Method:
        """The first that is configured, in this order. A role with a token file is assumed by web identity."""
        if self.bearer_token:
            return "bearer token"
        if self.static_keys() is not None:
            return "static keys"
        if self.profile:
            return "profile"
        if self.role_arn:
            return "web identity" if self.web_identity_token_file else "assumed role"
        return "default chain"

    def tell(self) -> str:
        """The method in a few words, with what identifies it and no secret."""
        match self.method:
            case "static keys":
                return f"static keys ({self.access_key_id})"
            case "profile":
                return f"profile '{self.profile}'"
            case "assumed role":
                return f"assumed role {self.role_arn}"
            case "web identity":
                return f"web identity {self.web_identity_token_file} for {self.role_arn}"
            case method:
                return method


class AwsCredentials:
    """The keys of one account, renewed before they end, without ever holding up the event loop."""

    def __init__(self, name: str, settings: AwsSettings) -> None:
        """`name` is the provider's. Raises ConfigError for settings that contradict each other."""
        if bool(settings.access_key_id) != bool(settings.secret_access_key):
            raise ConfigError(f"providers.{name}: access_key_id and secret_access_key are needed both, or neither")
        if settings.web_identity_token_file and not settings.role_arn:
            raise ConfigError(f"providers.{name}: web_identity_token_file needs role_arn, the role to assume with it")
        keys = settings.static_keys()
        if keys and not _SENDABLE.fullmatch(f"{keys.access_key_id}{keys.session_token or ''}"):
            raise ConfigError(f"providers.{name}: access_key_id or session_token holds what a header cannot carry")
        if settings.region and not _REGION.fullmatch(settings.region):
            raise ConfigError(f"providers.{name}.region: {settings.region!r} must look like us-east-1")
        self.settings = settings
        self._name = name
        self._lock = asyncio.Lock()
        self._source: Any = None
        self._keys = keys if settings.method == "static keys" else None
        self._region = settings.region

    async def keys(self) -> Keys:
        """The keys to sign with now. Raises NoDeployment naming the method that failed, MissingExtra."""
        if self._keys is None or self._ends_soon():
            async with self._lock:
                if self._keys is None or self._ends_soon():
                    self._keys = await asyncio.to_thread(self._asking, self._fetch)
        return self._keys

    async def region(self) -> str:
        """The configured region, else that of AWS's own settings. Raises NoDeployment."""
        if self._region is None:
            self._region = await asyncio.to_thread(self._find_region)
        return self._region

    async def identity(self) -> str:
        """The ARN that AWS knows these keys by, from STS. Raises NoDeployment, MissingExtra."""
        keys = await self.keys()

        def ask() -> str:
            sts = self._client(
                "sts",
                aws_access_key_id=keys.access_key_id,
                aws_secret_access_key=keys.secret,
                aws_session_token=keys.session_token,
            )
            return sts.get_caller_identity()["Arn"]

        return await asyncio.to_thread(self._asking, ask)

    def forget(self) -> None:
        """Sign in anew for the next call: AWS has refused these keys, and a file may hold newer ones by now."""
        if self.settings.method not in ("bearer token", "static keys"):
            self._keys = self._source = None

    def unusable(self, reason: str) -> NoDeployment:
        """The one message about credentials that do not work: the provider, the method, why."""
        return NoDeployment(
            f"Provider '{self._name}' has no usable AWS credentials. Tried {self.settings.tell()}: {reason}"
        )

    def _ends_soon(self) -> bool:
        # Only botocore's temporary credentials know when they end.
        return hasattr(self._source, "refresh_needed") and self._source.refresh_needed(_FRESH_S)

    def _asking(self, ask: Callable[[], T]) -> T:
        """Run in a thread what may read files and call AWS, and say what went wrong in one line."""
        exceptions = _botocore("exceptions")
        try:
            return ask()
        # RuntimeError: what botocore raises when credentials that it has just renewed have already ended.
        except (exceptions.BotoCoreError, exceptions.ClientError, OSError, RuntimeError) as error:
            raise self.unusable(str(error)) from None

    def _fetch(self) -> Keys:
        if self._source is None:
            self._source = self._make_source()
        frozen = self._source.get_frozen_credentials()
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)

    def _make_source(self) -> Any:
        """botocore's credentials: plain ones, or ones that renew themselves when asked."""
        settings = self.settings
        if settings.method == "web identity":
            credentials = _botocore("credentials")
            token = credentials.FileWebIdentityTokenLoader(settings.web_identity_token_file)
            fetcher = credentials.AssumeRoleWithWebIdentityCredentialFetcher(
                self._client, token, settings.role_arn, {"RoleSessionName": _SESSION_NAME}
            )
            return credentials.DeferredRefreshableCredentials(fetcher.fetch_credentials, settings.method)
        found = self._session().get_credentials()
        if found is None:
            raise self.unusable("there are none")
        if settings.method == "assumed role":
            credentials = _botocore("credentials")
            told = {"RoleSessionName": _SESSION_NAME}
            if settings.external_id:
                told["ExternalId"] = settings.external_id
            fetcher = credentials.AssumeRoleCredentialFetcher(self._client, found, settings.role_arn, told)
            return credentials.DeferredRefreshableCredentials(fetcher.fetch_credentials, settings.method)
        return found

    def _find_region(self) -> str:
        def ask() -> str | None:
            return self._session().get_config_variable("region")

        try:
            region = self._asking(ask)
        except MissingExtra:
            region = None
        if not region:
            raise NoDeployment(
                f"Provider '{self._name}' has no region: set AWS_REGION, or providers.{self._name}.region"
            )
        return region

    def _session(self) -> Any:
        profile = self.settings.profile if self.settings.method == "profile" else None
        session = _botocore("session").Session(profile=profile)
        config = _botocore("config").Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
        session.set_default_client_config(config)
        return session

    def _client(self, service: str, **kwargs: Any) -> Any:
        return self._session().create_client(service, region_name=self._region or _STS_REGION, **kwargs)


def _botocore(module: str) -> Any:
    try:
        return import_module(f"botocore.{module}")
    except ModuleNotFoundError:
        raise MissingExtra(
            "Signing in to AWS in another way than by static keys or a bearer token", "bedrock"
        ) from None
