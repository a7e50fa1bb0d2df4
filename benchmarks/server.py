"""Overhead of the server against LitServe: the same answers by a stub pipeline of 0 ms.

    python benchmarks/server.py [--rounds 6]

Equal largest batch and batch time-out, one worker each, four instances a request of 20 kB and of 150 kB each, eight
clients in a process of their own, the order changing from round to round. LitServe runs as it comes and with its
faster queue. Prints the medians and their ratios, ours over LitServe's; exit status 1 when ours is more than 0.8 of
either at 20 kB or 0.9 at 150 kB.
"""

import argparse
import asyncio
import base64
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from benchmarks.recording import record, take_json

BATCH, BATCH_WAIT_S, CLIENTS, REQUESTS = 8, 0.005, 8, 25  # largest batch in requests; requests a client and round
GOALS = {20_000: 0.8, 150_000: 0.9}

OURS_PROGRAM = f"""
import sys
from pipeline.server.listening import serve
from pipeline.server.queueing import QueueConfig
from pipeline.server.service import Service
queueing = QueueConfig(batch=4 * {BATCH}, batch_wait_s={BATCH_WAIT_S})
work = lambda requests: [[(1.0, 2.0, 3.0, 4.0)] * len(r) for r in requests]
serve(Service(work, queueing=queueing), "127.0.0.1", int(sys.argv[1]), 0.0)
"""
THEIRS_PROGRAM = f"""
import base64, sys
import litserve
class Stub(litserve.LitAPI):
    def setup(self, device): pass
    def decode_request(self, request): return [(i["caption"], base64.b64decode(i["b64"])) for i in request["instances"]]
    def batch(self, inputs): return inputs
    def predict(self, inputs): return [[(1.0, 2.0, 3.0, 4.0)] * len(r) for r in inputs]
    def unbatch(self, output): return output
    def encode_response(self, output): return {{"predictions": output}}
if __name__ == "__main__":
    api = Stub(max_batch_size={BATCH}, batch_timeout={BATCH_WAIT_S}, api_path="/identify")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, healthcheck_path="/ready",
                                fast_queue=sys.argv[2:] == ["fast_queue"])
    port = int(sys.argv[1])
    server.run(host="127.0.0.1", port=port, log_level="warning", num_api_servers=1, generate_client_file=False)
"""
OURS = "ours"
SERVERS = {  # program and its words after the port
    OURS: (OURS_PROGRAM, []),
    "LitServe": (THEIRS_PROGRAM, []),
    "LitServe, fast queue": (THEIRS_PROGRAM, ["fast_queue"]),
}


def main() -> None:
    """Measure and print."""
    file = take_json()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help=f"of {CLIENTS * REQUESTS} requests to each server")
    rounds = parser.parse_args().rounds
    versions = ", ".join(f"{name} {version(name)}" for name in ("litserve", "fastapi", "uvicorn"))
    print(f"{versions}; {os.cpu_count()} cores, {CLIENTS} clients, {rounds} rounds of {CLIENTS * REQUESTS} requests")
    ports = {name: free_port() for name in SERVERS}
    with tempfile.TemporaryDirectory() as folder:
        servers = [start(Path(folder), name, port) for name, port in ports.items()]
        try:
            for port in ports.values():
                wait_until_ready(port)
            found = {str(size): compare(ports, size, rounds) for size in GOALS}
        finally:
            for server in servers:
                os.killpg(server.pid, signal.SIGKILL)  # LitServe's own processes outlive a SIGTERM
                server.wait(30)
    record(file, "server", {"p50_ms": found})
    met = [max(p50[OURS] / p50[name] for name in p50) <= GOALS[int(size)] for size, p50 in found.items()]
    raise SystemExit(0 if all(met) else 1)


def compare(ports: Mapping[str, int], size: int, rounds: int) -> dict[str, float]:
    """Print each server's median time to an answer for instances of `size` bytes, and give them in milliseconds."""
    spent: dict[str, list[float]] = {name: [] for name in ports}
    names = list(ports)
    for name in names:
        ask(ports[name], size)  # warm-up
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            spent[name] += ask(ports[name], size)
    p50 = {name: 1000 * statistics.median(times) for name, times in spent.items()}
    ratios = {name: p50[OURS] / ms for name, ms in p50.items() if name != OURS}
    print(f"4 instances of {size // 1000} kB, p50: ours {p50[OURS]:.2f} ms (goal {GOALS[size]})", flush=True)
    for name, ratio in ratios.items():
        print(f"  {name:<22} {p50[name]:6.2f} ms, ratio {ratio:.2f}", flush=True)
    return p50


def ask(port: int, size: int) -> list[float]:
    """Seconds of each request of one round, asked by another process."""
    command = [sys.executable, __file__, "client", str(port), str(size)]
    told: list[float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told


def client(port: int, size: int) -> None:
    """The asking process: prints the seconds of each request as JSON."""
    import cv2
    import numpy as np

    blank = np.zeros((64, 64, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", blank)[1].tobytes()
    image = jpeg[:-2] + os.urandom(size - len(jpeg)).replace(b"\xff", b"\0") + jpeg[-2:]
    instances = [{"key": n, "caption": "red drone", "b64": base64.b64encode(image).decode()} for n in range(4)]
    body = json.dumps({"instances": instances}).encode()
    print(json.dumps(asyncio.run(load(port, body))))


async def load(port: int, body: bytes) -> list[float]:
    """Every client's requests, one after another on its own connection."""
    head = (
        f"POST /identify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    times: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(REQUESTS):
            started = time.perf_counter()
            writer.write(head.encode() + body)
            told = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", told)
            assert told.split(None, 2)[1] == b"200", told
            assert length is not None
            assert len(json.loads(await reader.readexactly(int(length[1])))["predictions"]) == 4
            times.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return times


def start(folder: Path, name: str, port: int) -> "subprocess.Popen[bytes]":
    """A server in its own process; its program lies in a file, as LitServe's workers import it."""
    program, words = SERVERS[name]
    path = folder / f"server_{port}.py"
    path.write_text(program, encoding="utf-8")
    command = [sys.executable, path, str(port), *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def wait_until_ready(port: int) -> None:
    """Wait until the server answers."""
    ends = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready") as response:
                if response.status == 200:
                    return
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.2)


def free_port() -> int:
    """A port nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        client(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
