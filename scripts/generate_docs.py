"""Writes docs/configuration.md from the schema: names, types, defaults and docstrings as they stand in the code.

`--check` writes nothing and fails when the file is not what it would write.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

import msgspec

from wye.config import schema
from wye.ports import transport
from wye.providers.rows import ROWS

TARGET = Path(__file__).parent.parent / "docs" / "configuration.md"

INTRO = """# Configuration

Wye runs without any. What you set comes from, strongest first: a flag of `wye serve`, the environment, `.env`,
`wye.yaml` (`--config`, else `WYE_CONFIG`, else `./wye.yaml`), the default.

`${NAME}` and `os.environ/NAME` in the file stand for environment variables; all that are missing are reported together,
with file and line. An unknown setting is an error that suggests the nearest known one. `wye check` tells whether the
configuration is good.

| variable | stands for |
|---|---|
| `API_KEY` | `server.api_key` |
| `LOG_LEVEL` | `server.log_level` |
| `DEFAULT_MODEL` | `default_model` |
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
"""

SECTIONS = (
    ("server", schema.ServerConfig),
    ("providers.NAME", schema.ProviderConfig),
    ("routes.NAME", schema.RouteConfig),
    ("routes.NAME.deployments[]", schema.DeploymentConfig),
    ("routes.NAME.deployments[].clocks", transport.Clocks),
    ("limits", schema.LimitsConfig),
    ("local", schema.LocalConfig),
    ("(top level)", schema.Config),
)


def docstrings(kind: type) -> dict[str, str]:
    """The string under each annotated member."""
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
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
    lines = [INTRO]
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
    wanted = render()
    if "--check" in sys.argv:
        if TARGET.read_text() != wanted:
            print(f"{TARGET.name} is not what the schema says: run scripts/generate_docs.py")
            return 1
        return 0
    TARGET.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
