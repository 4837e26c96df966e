"""Writes docs/configuration.md from the schema (names, defaults and docstrings as they stand in the code), and
docs/reference.md from the commands and routes.

`--check` writes nothing and fails when a file is not what it would write.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

import msgspec
import reference

from wye.config import schema
from wye.config.load import ENVIRONMENT
from wye.ports import transport
from wye.providers.rows import ROWS

DOCS = Path(__file__).parent.parent / "docs"

INTRO = """# Configuration

Wye runs without any. What you set comes from, strongest first: a flag of `wye serve`, the environment, `.env`,
`wye.yaml` (`--config`, else `WYE_CONFIG`, else `./wye.yaml`), what `wye config set` saved, the default. A provider's
settings in `wye.yaml` go before the environment's.

Saved settings are in `settings.yaml` in Wye's own folder, which only you can read.

`${NAME}` and `os.environ/NAME` in the file stand for environment variables; all that are missing are reported together,
with file and line. An unknown setting is an error that suggests the nearest known one. `wye check` tells whether the
configuration is good.

| variable | stands for |
|---|---|
$VARIABLES
| `WYE_HOME` | `home` |
| `WYE_CONFIG` | the configuration file |
| `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` | `proxies` |
| the key variables of the providers below | `providers.NAME.api_key` |

This page is written by `scripts/generate_docs.py` from `src/wye/config/schema.py`.

```yaml
server: {port: 8000, api_key: "${API_KEY}"}
providers:
  backup: {kind: vllm, base_url: "http://127.0.0.1:8001/v1"}
routes:
  fast:
    deployments:
      - {provider: groq, model: llama-3.3-70b-versatile, clocks: {first_token_s: 10}}
      - {provider: backup, model: llama-3.3-70b}
limits: {requests_per_minute: 600, concurrent: 50}
```

## AWS

As whom Wye calls Bedrock is decided by the first of these that is set; nothing is asked of AWS before the first call.

| way | settings | needs |
|---|---|---|
| bearer token | `api_key` | |
| static keys | `access_key_id`, `secret_access_key`, `session_token` | |
| profile | `profile` | the extra `bedrock` |
| assumed role | `role_arn`, `external_id` | the extra, and credentials in the default chain |
| web identity | `role_arn`, `web_identity_token_file` | the extra |
| default chain | none: AWS's variables and files, the role of a container or a machine | the extra |

The extra is installed with `pip install 'wye[bedrock]'`. These settings all come from one source: a `profile` in
`wye.yaml` is not beaten by keys in the environment. `wye config test-aws` tells which way was taken and who you are.

In the other direction AWS clients sign their calls of Wye. Their access key id is `wye` and their secret is the
server's API key; `server.aws_access_key_id` and `server.aws_secret_access_key` are a pair of your own beside it. Any
region will do. A proxy in between must leave `Host` as it is.

```yaml
server: {api_key: "${API_KEY}"}
providers:
  bedrock: {region: us-east-1, profile: models}
  azure: {base_url: "https://lab.openai.azure.com", api_key: "${AZURE_KEY}"}
```
"""

SECTIONS = (
    ("server", schema.ServerConfig),
    ("providers.NAME", schema.ProviderConfig),
    ("routes.NAME", schema.RouteConfig),
    ("routes.NAME.deployments[]", schema.DeploymentConfig),
    ("routes.NAME.deployments[].clocks", transport.Clocks),
    ("routes.NAME.orchestration", schema.PanelConfig),
    ("limits", schema.LimitsConfig),
    ("storage", schema.StorageConfig),
    ("documents", schema.DocumentsConfig),
    ("local", schema.LocalConfig),
    ("orchestration", schema.OrchestrationConfig),
    ("(top level)", schema.Config),
)


def docstrings(kind: type) -> dict[str, str]:
    """The string under each annotated member, those of its bases included."""
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = docstrings(kind.__base__) if kind.__base__ not in (None, msgspec.Struct) else {}
    for member, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name) and isinstance(after, ast.Expr):
            found[member.target.id] = " ".join(str(ast.literal_eval(after.value)).split())
    return found


def default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value: Any = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    if isinstance(value, msgspec.Struct) or value in ({}, [], None):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def render() -> str:
    told_below = {row.key_env for row in ROWS.values()}
    variables = [f"| `{name}` | `{'.'.join(path)}` |" for name, path in ENVIRONMENT.items() if name not in told_below]
    lines = [INTRO.replace("$VARIABLES", "\n".join(variables))]
    for name, kind in SECTIONS:
        told = docstrings(kind)
        lines += [
            f"## {name}",
            "",
            (inspect.getdoc(kind) or "").split("\n")[0],
            "",
            "| setting | default | meaning |",
            "|---|---|---|",
        ]
        for field in msgspec.structs.fields(kind):
            meaning = told.get(field.name, "").replace("|", "\\|")
            if kind is schema.Config and not meaning:
                continue
            lines.append(f"| `{field.encode_name}` | {default(field)} | {meaning} |")
        lines.append("")
    lines += ["## Known providers", "", "| kind | key variable | address |", "|---|---|---|"]
    lines += [
        f"| `{row.name}` | {f'`{row.key_env}`' if row.key_env else ''} | {row.base_url or row.title} |"
        for row in ROWS.values()
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    stale = []
    for name, wanted in (("configuration.md", render()), ("reference.md", reference.render())):
        page = DOCS / name
        if "--check" not in sys.argv:
            page.write_text(wanted)
        elif not page.is_file() or page.read_text() != wanted:
            stale.append(name)
    if stale:
        print(f"{' and '.join(stale)} differ from what the code says: run scripts/generate_docs.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
