"""Stands for the engine's process: reads its settings, serves its socket, and fails as its model's alias says."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

settings = json.loads(sys.stdin.buffer.readline())
how, _, where = settings["alias"].partition(":")
with Path(settings["model_path"]).open("a") as starts:
    starts.write(json.dumps({"pid": os.getpid(), "env": dict(os.environ)}) + "\n")
count = len(Path(settings["model_path"]).read_text().splitlines())

if how == "errors":
    print("0.00.001 I loading", file=sys.stderr)
    print("0.00.002 E load_model: the file is cut short", file=sys.stderr)
    print("0.00.003 E init: exiting", file=sys.stderr)
    sys.exit(3)
if how == "overtaken":
    print("RuntimeError: Failed to init server", file=sys.stderr)
    print("0.00.002 E load_model: the file is cut short", file=sys.stderr)
    print("0.00.003 E init: exiting", file=sys.stderr)
    sys.exit(1)
if how == "silent":
    sys.exit(4)
if how == "shouts":
    sys.stderr.write("x" * 300_000 + "\n" + "\x1b[31mline\x07\n" * 20_000 + "the last word")
    sys.exit(5)
if how == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "hangs":
    time.sleep(60)
if how == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if how == "fails-once" and count == 1:
    sys.exit(6)

server = socket.socket(socket.AF_UNIX)
Path(settings["socket_path"]).unlink(missing_ok=True)
server.bind(settings["socket_path"])
server.listen()
print("ready", flush=True)
status = b"500 Internal Server Error" if how == "refuses" else b"200 OK"
while True:
    connection, _ = server.accept()
    request = connection.recv(65536)
    if how == "stalls" and request.startswith(b"GET /lora-adapters"):
        time.sleep(60)
    if how == "cuts":
        os._exit(7)
    connection.sendall(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\n\r\n{}")
    connection.close()
    if how == "crashes" or (how == "crashes-once" and count == 1):
        print("GGML_ASSERT(x) failed", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGABRT)
