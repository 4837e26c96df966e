"""An S3 on this machine, with one empty bucket."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import botocore.session
from botocore.config import Config
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a-very-secret-secret"}


class Bucket(NamedTuple):
    name: str
    endpoint_url: str

    def contents(self) -> list[str]:
        """What is in it."""
        listed = _client(self.endpoint_url).list_objects_v2(Bucket=self.name)
        return [found["Key"] for found in listed.get("Contents", [])]


@contextmanager
def bucket() -> Iterator[Bucket]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        found = Bucket("wye-contents", f"http://{host}:{port}")
        _client(found.endpoint_url).create_bucket(Bucket=found.name)
        yield found
    finally:
        server.stop()


def _client(endpoint_url: str) -> Any:
    return botocore.session.Session().create_client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        config=Config(proxies={}),
    )
