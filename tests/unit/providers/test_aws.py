"""The ways of AWS authentication, against a small STS of our own; botocore's signatures are checked there."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_aws import ROLE, USER, FakeAws
from wye.kernel.errors import ConfigError, MissingExtra, NoDeployment
from wye.kernel.secret import Secret
from wye.kernel.sigv4 import Keys
from wye.providers.aws import AwsCredentials, AwsSettings

STATIC = {"access_key_id": "AKIDUSER", "secret_access_key": Secret("user-secret")}


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws(AKIDUSER="user-secret") as aws:
        yield aws


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AWS's files are looked for here, and nothing is inherited."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.url)
    return tmp_path


def profile(folder: Path, name: str = "dev") -> None:
    (folder / "credentials").write_text(
        f"[{name}]\naws_access_key_id = AKIDUSER\naws_secret_access_key = user-secret\n"
    )


def credentials(**settings: Any) -> AwsCredentials:
    return AwsCredentials("bedrock", AwsSettings(**{"region": "us-east-1", **settings}))


@pytest.mark.parametrize(
    ("settings", "method", "told"),
    [
        ({}, "default chain", "default chain"),
        ({"access_key_id": "AKID"}, "default chain", "default chain"),
        ({**STATIC, "profile": "dev"}, "static keys", "static keys (AKIDUSER)"),
        ({**STATIC, "bearer_token": Secret("b")}, "bearer token", "bearer token"),
        ({"profile": "dev", "role_arn": ROLE}, "profile", "profile 'dev'"),
        ({"role_arn": ROLE, "external_id": "x"}, "assumed role", f"assumed role {ROLE}"),
        ({"role_arn": ROLE, "web_identity_token_file": "/t"}, "web identity", f"web identity /t for {ROLE}"),
        ({**STATIC, "role_arn": ROLE}, "static keys", "static keys (AKIDUSER)"),
    ],
)
def test_the_first_way_that_is_configured_counts(settings: dict[str, Any], method: str, told: str) -> None:
    found = AwsSettings(**settings)
    assert (found.method, found.tell()) == (method, told)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"access_key_id": "AKID"}, "needed both"),
        ({"secret_access_key": Secret("hush")}, "needed both"),
        ({"web_identity_token_file": "/t"}, "needs role_arn"),
        ({"region": "us-east-1.example.com/"}, "must look like us-east-1"),
        ({**STATIC, "session_token": Secret("a\r\nx: hush")}, "cannot carry"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        credentials(**settings)
    assert "hush" not in caught.value.message


def without_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("botocore", *(f"botocore.{part}" for part in ("exceptions", "session", "credentials", "config"))):
        monkeypatch.setitem(sys.modules, name, None)


async def test_static_keys_need_neither_botocore_nor_a_call(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    without_botocore(monkeypatch)
    found = credentials(**STATIC, session_token=Secret("t"))
    assert await found.keys() == Keys("AKIDUSER", "user-secret", "t")
    assert await found.region() == "us-east-1"
    assert aws.requests == []


async def test_without_botocore_the_other_ways_say_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without_botocore(monkeypatch)
    with pytest.raises(MissingExtra, match=r"pip install 'wye\[bedrock\]'"):
        await credentials().keys()
    with pytest.raises(NoDeployment, match=r"no region: set AWS_REGION, or providers\.bedrock\.region"):
        await credentials(region=None).region()


async def test_a_profile_and_its_region(folder: Path) -> None:
    profile(folder)
    (folder / "config").write_text("[profile dev]\nregion = eu-west-3\n")
    found = credentials(profile="dev", region=None)
    assert await found.keys() == Keys("AKIDUSER", "user-secret")
    assert await found.region() == "eu-west-3"
    assert await found.identity() == USER


async def test_a_role_is_assumed_once_and_with_its_external_id(aws: FakeAws, folder: Path) -> None:
    profile(folder, "default")
    aws.external_id = "partner-7"
    found = credentials(role_arn=ROLE, external_id="partner-7")
    assert aws.requests == []
    first, *others = await asyncio.gather(*(found.keys() for _ in range(5)))
    assert first == Keys("ASIAROLE0", "role-secret-0", "role-token-0")
    assert others == [first] * 4
    assert [(form["Action"], form["RoleSessionName"]) for form in aws.asked] == [("AssumeRole", "wye")]
    assert await found.identity() == "arn:aws:sts::123456789012:assumed-role/gateway/wye"


async def test_keys_that_end_soon_are_renewed_without_holding_up_the_loop(aws: FakeAws, folder: Path) -> None:
    profile(folder, "default")
    aws.lasts_s = 60
    found = credentials(role_arn=ROLE)
    assert (await found.keys()).access_key_id == "ASIAROLE0"
    aws.lasts_s = 3600
    assert (await found.keys()).access_key_id == "ASIAROLE1"
    assert (await found.keys()).access_key_id == "ASIAROLE1"


async def test_web_identity_reads_its_token_from_the_file(aws: FakeAws, folder: Path) -> None:
    (folder / "token").write_text("a web token")
    found = credentials(role_arn=ROLE, web_identity_token_file=str(folder / "token"))
    assert (await found.keys()).access_key_id == "ASIAROLE0"
    assert "authorization" not in aws.requests[0].headers


async def test_the_default_chain(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDUSER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "user-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    found = credentials(region=None)
    assert await found.keys() == Keys("AKIDUSER", "user-secret")
    assert await found.region() == "ap-south-1"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "Tried default chain: there are none"),
        ({"role_arn": ROLE}, f"Tried assumed role {ROLE}: there are none"),
        ({"profile": "nobody"}, r"Tried profile 'nobody': The config profile \(nobody\) could not be found"),
        ({"role_arn": ROLE, "web_identity_token_file": "/nowhere/t"}, "No such file or directory: '/nowhere/t'"),
    ],
)
async def test_what_is_missing_is_said_with_the_way_that_was_tried(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(NoDeployment, match=says) as caught:
        await credentials(**settings).keys()
    assert caught.value.message.startswith("Provider 'bedrock' has no usable AWS credentials.")
    assert "\n" not in caught.value.message


async def test_what_aws_refuses_is_said_in_its_words(aws: FakeAws, folder: Path) -> None:
    profile(folder, "default")
    aws.external_id = "partner-7"
    with pytest.raises(NoDeployment, match=r"AccessDenied.*sts:AssumeRole"):
        await credentials(role_arn=ROLE).keys()
    with pytest.raises(NoDeployment, match="security token included in the request is invalid"):
        await credentials(access_key_id="AKIDOTHER", secret_access_key=Secret("hush")).identity()


async def test_keys_that_have_ended_when_they_come_are_a_clear_failure(aws: FakeAws, folder: Path) -> None:
    profile(folder, "default")
    aws.lasts_s = -60
    with pytest.raises(NoDeployment, match="expired"):
        await credentials(role_arn=ROLE).keys()
