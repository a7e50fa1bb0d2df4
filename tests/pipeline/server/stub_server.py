"""The real service around a worker of known speed, in a process of its own."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[3]

# The real service around a worker of known speed: capacity is 1 / SECONDS instances a second.
STUB = """
import sys, time
from pipeline.server.listening import serve
from pipeline.server.queueing import QueueConfig
from pipeline.server.service import Service
seconds, *deadline_s = map(float, sys.argv[1:])
queueing = QueueConfig(batch=8, waiting=16)
if deadline_s:
    queueing.deadline_s, = deadline_s
def work(requests):
    boxes = [[[1.0, 2.0, 3.0, 4.0] for _ in r] for r in requests]
    time.sleep(seconds * sum(map(len, requests)))
    return boxes
serve(Service(work, queueing=queueing), "127.0.0.1", 0, 0.3)
"""


def start(*words):
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    for line in process.stdout:
        if found := re.match(r"listening at (\S+)", line):
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process, wait_until_ready(found.group(1))
    raise AssertionError("the server ended before it listened")


def wait_until_ready(url):
    for _ in range(200):
        try:
            if httpx.get(f"{url}/ready").status_code == 200:
                return url
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("not ready")


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def connected(url):
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def rss_mib(process):
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096 / 2**20
