from pathlib import Path
from typing import Any

import pytest

from wye.config.load import config_from, load_config
from wye.config.schema import Config
from wye.config.sources import read_environment
from wye.kernel.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "wye.yaml"
    path.write_text(text)
    return path


def load(folder: Path, text: str, **environment: str) -> Config:
    return load_config(file=write(folder, text), environment=environment)


def test_nothing_configured_is_a_good_configuration() -> None:
    config = load_config(environment={"HOME": "/nowhere"})
    assert (config.server.host, config.server.port, config.server.api_key) == ("127.0.0.1", 8000, None)
    assert config.local.enabled
    assert config.routes == {}


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "server: {port: 1, log_level: error, host: 10.0.0.1}\ndefault_model: a\n")
    config = load_config(
        file=path,
        environment={"LOG_LEVEL": "WARNING", "DEFAULT_MODEL": "b", "API_KEY": "k"},
        flags={("server", "port"): 3, ("server", "host"): None},
    )
    assert config.server.port == 3
    assert config.server.log_level == "warning"
    assert config.server.host == "10.0.0.1"
    assert config.default_model == "b"
    assert config.server.api_key is not None
    assert config.server.api_key.reveal() == "k"


def test_vendors_keys_come_from_the_environment_unless_the_file_gives_one(tmp_path: Path) -> None:
    environment = {"OPENAI_API_KEY": "env-o", "ANTHROPIC_API_KEY": "env-a"}
    config = load(tmp_path, "providers: {openai: {api_key: from-file}}", **environment)
    keys = {name: section.api_key.reveal() for name, section in config.providers.items() if section.api_key}
    assert keys == {"openai": "from-file", "anthropic": "env-a"}


def test_references_work_inside_braces_and_in_both_spellings(tmp_path: Path) -> None:
    text = "providers:\n  groq: {api_key: ${G_KEY}, headers: {x: a-${B}-c}}\n  xai: {api_key: os.environ/X_KEY}\n"
    config = load(tmp_path, text, G_KEY="g", B="b", X_KEY="x")
    groq, xai = config.providers["groq"], config.providers["xai"]
    assert groq.api_key is not None
    assert (groq.api_key.reveal(), groq.headers) == ("g", {"x": "a-b-c"})
    assert xai.api_key is not None
    assert xai.api_key.reveal() == "x"


def test_all_missing_references_are_told_at_once_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, "server:\n  api_key: ${ONE}\nproviders:\n  groq: {api_key: os.environ/TWO}\n")
    assert "ONE  (" in raised.value.message
    assert "wye.yaml:2)" in raised.value.message
    assert "wye.yaml:4)" in raised.value.message


WRONG: dict[str, tuple[str, list[str]]] = {
    "unknown key": ("server: {prot: 1}", ["wye.yaml:1: server.prot: unknown setting; did you mean 'port'?"]),
    "unknown section": ("servr: {}", ["did you mean 'server'?"]),
    "nothing near": ("server: {zzz: 1}", ["unknown setting; known here: allow_open"]),
    "wrong type": ("\nserver:\n  port: many", ["wye.yaml:3: server.port: Expected 'int'"]),
    "deep in a list": (
        "routes:\n  a:\n    deployments:\n      - {provider: openai, model: m, clocks: {conect_s: 1}}",
        ["wye.yaml:4: routes.a.deployments.0.clocks.conect_s: unknown setting; did you mean 'connect_s'?"],
    ),
    "required": ("routes: {a: {deployments: [{provider: openai}]}}", ["'model' is required"]),
    "no section": ("server: 5", ["server: must be a section of `name: value` lines"]),
    "no section in a map": ("routes: {a: 5}", ["routes.a: must be a section"]),
    "a list where a map belongs": ("routes: []", ["routes: Expected 'object', got 'array'"]),
    "unknown provider": ("routes: {a: {deployments: [{provider: opeai, model: m}]}}", ["did you mean 'openai'?"]),
    "unknown kind": ("providers: {x: {kind: anthropc}}", ["did you mean 'anthropic'?"]),
    "kind is not guessable": ("providers: {zzzz: {}}", ["unknown kind 'zzzz'; known: anthropic"]),
    "provider is not guessable": ("routes: {a: {deployments: [{provider: zzzz, model: m}]}}", ["known: anthropic"]),
    "empty route": ("routes: {a: {deployments: []}}", ["a route needs at least one deployment"]),
    "too small": ("limits: {concurrent: 0}", ["limits.concurrent: must be at least 1, not 0"]),
    "panel and deployments": (
        "routes: {a: {orchestration: {mode: debate, models: [b, c]}, deployments: [{provider: openai, model: m}]}}",
        ["routes.a.orchestration: a route has deployments or orchestration, not both"],
    ),
    "panel of one": (
        "routes: {a: {orchestration: {mode: critique, models: [b]}}}",
        ["routes.a.orchestration.models: critique needs 2 models at least"],
    ),
    "panel of itself": (
        "routes: {a: {orchestration: {mode: single, models: [a]}}}",
        ["routes.a.orchestration.models: a panel cannot be a member of itself"],
    ),
    "panel without rounds": (
        "routes: {a: {orchestration: {mode: single, models: [b], max_rounds: 0}}}\n"
        "orchestration: {timeout_s: 0.5, max_cost_usd: 0}",
        [
            "routes.a.orchestration.max_rounds: must be at least 1, not 0",
            "orchestration.timeout_s: must be at least 1, not 0.5",
            "orchestration.max_cost_usd: must be more than 0, not 0",
        ],
    ),
    "budget of a panel": (
        "routes: {a: {orchestration: {mode: single, models: [b]}, budget: {usd: 5}}}",
        ["routes.a.budget: what a panel costs is bounded by max_cost_usd, and by its members' budgets"],
    ),
    "budget of nothing": (
        "routes:\n"
        "  a: {deployments: [{provider: openai, model: m}], budget: {usd: 0}}\n"
        "  b: {deployments: [{provider: openai, model: m}], budget: {usd: 1.0e+300, per: day}}",
        [
            "wye.yaml:2: routes.a.budget.usd: must be more than 0 and less than a billion, not 0",
            "wye.yaml:3: routes.b.budget.usd: must be more than 0 and less than a billion, not 1e+300",
        ],
    ),
    "twice": ("server: {port: 1}\nserver: {port: 2}", ["wye.yaml:2: 'server' is given twice"]),
    "no YAML": ("server: {port: 1", ["wye.yaml:1: not valid YAML"]),
    "a list": ("- a", ["the file must hold settings"]),
    "two at once": ("server: {prot: 1, hots: x}", ["'port'", "'host'"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_mistake_is_named_with_its_place(name: str, tmp_path: Path) -> None:
    text, expected = WRONG[name]
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text)
    for part in expected:
        assert part in raised.value.message


def test_an_empty_file_is_a_configuration(tmp_path: Path) -> None:
    assert load(tmp_path, "").server.port == 8000
    assert load(tmp_path, "server:\n").server.port == 8000


def test_a_file_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config names it"):
        load_config(file=tmp_path / "no.yaml", environment={})
    with pytest.raises(ConfigError, match="WYE_CONFIG names it"):
        load_config(environment={"WYE_CONFIG": str(tmp_path / "no.yaml")})
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(file=tmp_path, environment={})
    with pytest.raises(ConfigError, match="--env-file names it"):
        read_environment(tmp_path / "no.env")


def test_the_environment_file_is_read_below_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.env").write_text("API_KEY='a b'\nLOG_LEVEL=debug\nEMPTY\n")
    monkeypatch.setenv("LOG_LEVEL", "error")
    read = read_environment(tmp_path / "my.env")
    assert (read["API_KEY"], read["LOG_LEVEL"]) == ("a b", "error")
    assert load_config(env_file=tmp_path / "my.env").server.log_level == "error"


@pytest.mark.parametrize(
    ("environment", "home"),
    [
        ({"WYE_HOME": "/w"}, "/w"),
        ({"XDG_DATA_HOME": "/x"}, "/x/wye"),
        ({}, "~/.local/share/wye"),
    ],
)
def test_the_home_folder_follows_the_users_wish(environment: dict[str, str], home: str) -> None:
    assert load_config(environment=environment).home == str(Path(home).expanduser())


def test_proxies_come_from_the_usual_variables() -> None:
    config = load_config(environment={"HTTPS_PROXY": "http://p:1", "no_proxy": "a,b"})
    assert config.proxies == {"https": "http://p:1", "no": "a,b"}


def test_plain_values_are_checked_like_a_file() -> None:
    values: dict[str, Any] = {"server": {"port": "9000"}}
    assert config_from(values).server.port == 9000
    with pytest.raises(ConfigError, match=r"^server\.prot: unknown"):
        config_from({"server": {"prot": 1}})


def test_a_key_never_shows_in_the_configuration() -> None:
    assert "very-secret" not in repr(
        load_config(environment={"API_KEY": "very-secret", "OPENAI_API_KEY": "very-secret"})
    )
