"""The settings that `wye config set` keeps."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from wye.config.load import load_config
from wye.config.saved import NAME, read_saved, write_saved
from wye.config.schema import Config
from wye.kernel.errors import ConfigError


def load(home: Path, file: str | None = None, **environment: str) -> Config:
    path = None
    if file is not None:
        path = home / "wye.yaml"
        path.write_text(file)
    return load_config(file=path, environment={"WYE_HOME": str(home), **environment})


def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    values: dict[str, Any] = {"server": {"api_key": "${NOT_A_REFERENCE} é"}}
    path = write_saved(home, values)
    assert (path, path.parent) == (home / NAME, home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert read_saved(home) == values
    write_saved(home, {})
    assert (read_saved(home), [p.name for p in home.iterdir()]) == ({}, [NAME])


def test_every_other_source_is_stronger(tmp_path: Path) -> None:
    write_saved(
        tmp_path, {"server": {"port": 1, "host": "::1", "api_key": "s"}, "providers": {"openai": {"api_key": "s"}}}
    )
    config = load(tmp_path)
    assert (config.server.port, config.server.host) == (1, "::1")
    config = load(tmp_path, "server: {port: 2}", API_KEY="e", OPENAI_API_KEY="e")
    assert (config.server.port, config.server.host) == (2, "::1")
    assert config.server.api_key is not None
    assert config.server.api_key.reveal() == "e"
    key = config.providers["openai"].api_key
    assert key is not None
    assert key.reveal() == "e"


def test_a_mistake_in_them_names_their_file(tmp_path: Path) -> None:
    write_saved(tmp_path, {"server": {"prot": 1}})
    with pytest.raises(ConfigError, match=rf"{NAME}: server\.prot: unknown setting; did you mean 'port'"):
        load(tmp_path, "server: {port: 2}")


@pytest.mark.parametrize("text", ["server: {api_key: sk-hush", "- sk-hush", "sk-hush"])
def test_damaged_ones_are_named_and_not_repeated(text: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ConfigError, match=f"{NAME} are damaged") as caught:
        load(tmp_path)
    assert "hush" not in caught.value.message


def test_a_place_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="cannot be saved"):
        write_saved(tmp_path, {})
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be saved"):
        write_saved(tmp_path / "file" / "home", {})


AWS = {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "env-secret", "AWS_SESSION_TOKEN": "env-token"}


def test_aws_variables_are_those_of_bedrock(tmp_path: Path) -> None:
    more = {
        "AWS_PROFILE": "p",
        "AWS_ROLE_ARN": "r",
        "AWS_EXTERNAL_ID": "x",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/t",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:1",
        "AWS_BEARER_TOKEN_BEDROCK": "b",
    }
    bedrock = load(tmp_path, **AWS, **more).providers["bedrock"]
    assert bedrock.secret_access_key is not None
    assert bedrock.session_token is not None
    assert bedrock.api_key is not None
    assert (bedrock.access_key_id, bedrock.secret_access_key.reveal(), bedrock.session_token.reveal()) == (
        *AWS.values(),
    )
    assert (bedrock.profile, bedrock.role_arn, bedrock.external_id) == ("p", "r", "x")
    assert (bedrock.web_identity_token_file, bedrock.region) == ("/t", "eu-west-1")
    assert (bedrock.endpoint_url, bedrock.api_key.reveal()) == ("http://127.0.0.1:1", "b")


def test_credentials_come_from_one_source_whole(tmp_path: Path) -> None:
    """A profile that the file names must not lose to keys that happen to be in the environment."""
    write_saved(tmp_path, {"providers": {"bedrock": {"external_id": "saved", "region": "eu-west-3"}}})
    bedrock = load(tmp_path, "providers: {bedrock: {profile: dev}}", **AWS).providers["bedrock"]
    assert (bedrock.profile, bedrock.access_key_id, bedrock.secret_access_key) == ("dev", None, None)
    assert (bedrock.session_token, bedrock.external_id, bedrock.region) == (None, None, "eu-west-3")
    bedrock = load(tmp_path, "providers: {bedrock: {region: us-east-1}}", **AWS).providers["bedrock"]
    assert (bedrock.access_key_id, bedrock.external_id, bedrock.region) == ("AKIDENV", None, "us-east-1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("providers: {openai: {region: eu-west-1}}", "providers.openai.region: is a setting of kind 'bedrock', not of"),
        ("providers: {mine: {kind: bedrock, api_version: x}}", "api_version: is a setting of kind 'azure'"),
        ("providers: {bedrock: {base_url: 'https://x'}}", "Bedrock's address is set by endpoint_url"),
    ],
)
def test_a_setting_of_another_kind_is_a_mistake(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, text)


def test_what_stands_where_a_section_belongs_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="server: must be a section"):
        load(tmp_path, "server: 5", API_KEY="k")
