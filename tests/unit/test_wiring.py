"""A configuration becomes a running application, or one clear error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import wye
from wye.api.app import App
from wye.config.load import config_from
from wye.kernel.errors import ConfigError
from wye.wiring import make_bedrock

NO_LOCAL: dict[str, Any] = {"local": {"enabled": False}}


@pytest.fixture(autouse=True)
def _nothing_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WYE_CONFIG", raising=False)
    monkeypatch.setenv("WYE_HOME", str(tmp_path))


def names(app: App) -> list[str]:
    return app.pipeline.router.names()


def test_a_configuration_comes_in_any_of_its_forms(tmp_path: Path) -> None:
    tree: dict[str, Any] = {**NO_LOCAL, "routes": {"m": {"deployments": [{"provider": "groq", "model": "x"}]}}}
    path = tmp_path / "mine.yaml"
    path.write_text("local: {enabled: false}\nroutes: {m: {deployments: [{provider: groq, model: x}]}}\n")
    for given in (tree, config_from(tree), path, str(path)):
        app = wye.create_app(given)
        assert names(app) == ["m"]
        assert [d.id for d in app.pipeline.router.route("m").deployments] == ["groq/x"]


def test_none_reads_what_wye_serve_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wye.yaml").write_text("routes: {from_file: {deployments: [{provider: groq, model: x}]}}\n")
    monkeypatch.setenv("API_KEY", "k")
    app = wye.create_app()
    assert names(app)[0] == "from_file"
    assert not app.pipeline.auth.open


def test_without_anything_the_local_models_are_there() -> None:
    app = wye.create_app({})
    assert "smollm2-135m-instruct" in names(app)
    assert app.pipeline.auth.open


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("gpt-4o", "openai/gpt-4o"),
        ("claude-x", "anthropic/claude-x"),
        ("mine/llama", "mine/llama"),
        ("groq:llama", "groq/llama"),
        ("small", "local/smollm2-135m-instruct"),
        ("smollm2-135m-instruct", "local/smollm2-135m-instruct"),
        ("taken", "mine/upstream"),
    ],
)
def test_names_lead_where_the_configuration_says(name: str, wanted: str) -> None:
    app = wye.create_app(
        {
            "providers": {"mine": {"kind": "vllm", "base_url": "http://127.0.0.1:1/v1"}},
            "routes": {"taken": {"deployments": [{"provider": "mine", "model": "upstream"}]}},
            "local": {"aliases": {"small": "smollm2-135m-instruct", "taken": "smollm2-135m-instruct"}},
        }
    )
    assert app.pipeline.router.route(name).deployments[0].id == wanted


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"serve": {}}, ["serve", "server"]),
        ({"server": {"port": "high"}}, ["server.port"]),
        ({"providers": {"mine": {"kind": "opnai"}}}, ["mine", "openai"]),
        ({"providers": {"mine": {"kind": "local"}}}, ["mine"]),
        ({"providers": {"mine": {"kind": "vllm"}}}, ["mine", "base_url"]),
        ({"providers": {"mine": {"kind": "vllm", "base_url": "nonsense"}}}, ["mine", "base_url"]),
        ({"routes": {"m": {"deployments": [{"provider": "gorq", "model": "x"}]}}}, ["routes.m", "groq"]),
        ({"routes": {"m": {"deployments": [{"provider": "vllm", "model": "x"}]}}}, ["routes.m", "vllm"]),
        (
            {**NO_LOCAL, "routes": {"m": {"deployments": [{"provider": "local", "model": "x"}]}}},
            ["routes.m", "local"],
        ),
        ({"local": {"files": {"mine": "/nowhere.gguf"}}}, ["/nowhere.gguf"]),
        ({"local": {"preload": ["nobody"]}}, ["nobody"]),
        ({"local": {"aliases": {"small": "nobody"}}}, ["nobody"]),
    ],
)
def test_a_value_that_makes_no_sense_is_one_clear_error(tree: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        wye.create_app(tree)
    assert all(word in raised.value.message for word in words), raised.value.message


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        wye.create_app(tmp_path / "nowhere.yaml")


def test_an_unknown_name_in_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = wye.nonsense  # type: ignore[attr-defined]


def test_limits_reach_the_limiter() -> None:
    settlement = wye.create_app({**NO_LOCAL, "limits": {"concurrent": 2}}).pipeline.settlement
    assert settlement._local is not None
    assert wye.create_app(NO_LOCAL).pipeline.settlement._local is None


def test_the_module_for_process_managers_holds_the_application(tmp_path: Path) -> None:
    code = "from wye.asgi import app; print(type(app).__name__, app.pipeline.auth.open)"
    source = str(Path(wye.__file__).parent.parent)
    environment = {**os.environ, "API_KEY": "k", "PYTHONPATH": source}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout, done.stderr) == ("App False\n", "")


def test_aws_clients_sign_with_the_servers_key_or_a_pair_of_their_own() -> None:
    def signers(**server: str) -> dict[str, str]:
        auth = wye.create_app({**NO_LOCAL, "server": server}).pipeline.auth
        return {id_: secret.reveal() for id_, (_, secret) in auth._pairs.items()}

    assert signers() == {}
    assert signers(api_key="k") == {"wye": "k"}
    pair = {"aws_access_key_id": "AKID", "aws_secret_access_key": "s"}
    assert signers(api_key="k", **pair) == {"wye": "k", "AKID": "s"}
    for half in (pair, {"api_key": "k", "aws_access_key_id": "AKID"}, {"api_key": "k", "aws_secret_access_key": "s"}):
        with pytest.raises(ConfigError, match="aws_secret_access_key and api_key are needed"):
            signers(**half)


def test_a_key_of_azure_in_the_environment_is_no_account_yet() -> None:
    key_alone = {"providers": {"azure": {"api_key": "k"}}, **NO_LOCAL}
    wye.create_app(key_alone)
    with pytest.raises(ConfigError, match="'azure' is known but needs a base_url"):
        wye.create_app({**key_alone, "routes": {"m": {"deployments": [{"provider": "azure", "model": "x"}]}}})
    with pytest.raises(ConfigError, match="base_url is required"):
        wye.create_app({"providers": {"mine": {"kind": "azure", "api_key": "k"}}, **NO_LOCAL})
    azure = {"kind": "azure", "base_url": "https://lab.openai.azure.com", "api_version": "2024-10-21", "api_key": "k"}
    app = wye.create_app({"providers": {"eu": azure}, **NO_LOCAL})
    assert [d.id for d in app.pipeline.router.route("eu/mini").deployments] == ["eu/mini"]


def test_a_bedrock_account_is_made_from_its_section() -> None:
    section = config_from(
        {"providers": {"bedrock": {"region": "eu-west-1", "role_arn": "r", "external_id": "x", "api_key": "b"}}}
    ).providers["bedrock"]
    settings = make_bedrock("bedrock", section).credentials.settings
    assert (settings.region, settings.role_arn, settings.external_id, settings.method) == (
        "eu-west-1",
        "r",
        "x",
        "bearer token",
    )


def engine_of(local: dict[str, Any]) -> Any:
    return wye.create_app({"local": local}).pipeline.router._providers["local"]._engine  # type: ignore[attr-defined]


def test_a_preset_is_loaded_at_start_under_the_names_that_stand_for_its_models() -> None:
    small, coder = "smollm2-135m-instruct", "qwen2.5-coder-0.5b"
    stand_ins = {"phi-4": small, "deepseek-r1-7b": small, "llama-3.2-3b": coder}
    pool = engine_of({"preset": "T2", "aliases": stand_ins, "memory_limit_gb": 2})
    assert pool._engines[0]._preload == [small, coder]
    pool = engine_of({"preset": "S4", "preload": [coder], "memory_limit_gb": 4})
    assert pool._engines[0]._preload == [coder, "llama-3.2-3b"]


def test_a_model_of_a_server_elsewhere_stands_in_for_one_of_a_preset_and_takes_no_room() -> None:
    attached = {"far": {"base_url": "http://127.0.0.1:1"}}
    aliases = {"phi-4": "far", "deepseek-r1-7b": "smollm2-135m-instruct"}
    pool = engine_of({"preset": "D3", "aliases": aliases, "attached": attached, "memory_limit_gb": 1})
    assert pool._engines[0]._preload == ["smollm2-135m-instruct"]


def test_a_preset_that_does_not_fit_is_refused_with_the_sum() -> None:
    with pytest.raises(ConfigError, match=r"local\.preset: D3 does not fit: .* = 13\.0 GB at least, .* take 12\.0 GB"):
        engine_of({"preset": "D3", "memory_limit_gb": 12})


def test_a_preset_that_there_is_not_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"local\.preset: unknown preset 'D4v3'; did you mean 'D4v2'\?"):
        engine_of({"preset": "D4v3"})
    with pytest.raises(ConfigError, match="known: S1, S2"):
        engine_of({"preset": "?"})


def test_an_attached_server_is_asked_at_its_address_with_its_key() -> None:
    section = {"base_url": "http://127.0.0.1:1/llm/v1", "api_key": "k", "model": "org/m", "roles": ["fast"]}
    [_, attached] = engine_of({"attached": {"big": section}})._engines
    address = attached._models["big"].address
    assert (address.origin.port, address.prefix, address.model) == (1, b"/llm", "org/m")
    assert address.headers == b"authorization: Bearer k\r\n"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"base_url": "nowhere"}, "local.attached.big.base_url: 'nowhere' must look like"),
        ({"base_url": "http://127.0.0.1", "api_key": "a\nb"}, "local.attached.big: 'authorization' cannot be sent"),
        ({"base_url": "http://127.0.0.1", "max_concurrent": 0}, "max_concurrent"),
        ({"base_url": "http://127.0.0.1", "roles": ["clown"]}, "roles"),
    ],
)
def test_an_attached_server_that_cannot_be_asked_is_told(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        engine_of({"attached": {"big": section}})


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ({"blobs": "s3://AK:secret@bucket"}, "s3://BUCKET/PREFIX, without credentials"),
        ({"blobs": "s3://Bad_Name"}, "s3://BUCKET/PREFIX"),
        ({"blobs": "s3://bucket/a/../b//"}, "s3://BUCKET/PREFIX"),
        ({"blobs": "gs://secret-bucket"}, "s3://BUCKET/PREFIX"),
        ({"blobs": "s3://bucket", "blobs_endpoint_url": "http://me:secret@host"}, "without credentials"),
        ({"blobs": "s3://bucket", "blobs_endpoint_url": "minio-secret:9000"}, "http://minio.internal:9000"),
        ({"blobs": "/srv", "blobs_endpoint_url": "http://minio:9000"}, "is for a bucket"),
    ],
)
def test_a_place_of_files_that_makes_no_sense_is_refused(storage: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        wye.create_app({**NO_LOCAL, "storage": storage})
    assert said in caught.value.message
    assert "secret" not in caught.value.message


def test_an_object_is_put_whole_and_has_a_largest_size() -> None:
    with pytest.raises(ConfigError, match=r"documents.max_upload_mb can be at most 5120"):
        wye.create_app({**NO_LOCAL, "storage": {"blobs": "s3://bucket"}, "documents": {"max_upload_mb": 5121}})
