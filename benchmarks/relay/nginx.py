"""The yardstick: nginx as a plain reverse proxy, one worker, upstream connections kept alive, nothing on disk."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.relay.processes import RunFailed, free_port, running, wait_for

# A body of 64 KB stays in memory (nginx would otherwise write it to a file), and a stream is passed on as it comes.
_CONFIG = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_body_buffer_size 256k;
  keepalive_requests 1000000000;
  upstream mock {{
    server 127.0.0.1:{upstream};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


def installed() -> str | None:
    """Path of the program, if it is there."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def nginx(upstream: int, folder: Path) -> Iterator[tuple[int, int]]:
    """Port and process id of an nginx in front of the upstream. Raises RunFailed."""
    program = installed()
    if program is None:
        raise RunFailed("nginx is not installed: it is the yardstick (on Debian: apt-get install nginx-light)")
    port = free_port()
    # Workers of a master that runs as root would be another user, who cannot enter the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, user=user, upstream=upstream, port=port))
    log = folder / "nginx.log"
    with running([program, "-c", str(config), "-p", str(folder), "-e", "stderr"], log, folder) as process:
        wait_for(port, process, log)
        yield port, process.pid
