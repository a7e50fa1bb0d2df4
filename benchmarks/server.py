"""Overhead of the server against LitServe: the same answers by a stub pipeline of 0 ms.

    python benchmarks/server.py [ROUNDS]

Equal largest batch and batch time-out, one worker each, four instances a request of 20 kB and of 150 kB each, eight
clients in a third process, the order alternated. Prints the medians and their ratio, ours over LitServe's.
"""

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
import time
import urllib.request

BATCH, BATCH_WAIT_S, CLIENTS, REQUESTS = 8, 0.005, 8, 25  # largest batch in requests; requests a client and round
GOALS = {20_000: 0.8, 150_000: 0.9}

OURS = f"""
import sys
from pipeline.listening import serve
from pipeline.queueing import QueueConfig
from pipeline.service import Service
queueing = QueueConfig(batch=4 * {BATCH}, batch_wait_s={BATCH_WAIT_S})
work = lambda requests: [[(1.0, 2.0, 3.0, 4.0)] * len(r) for r in requests]
serve(Service(work, queueing=queueing), "127.0.0.1", int(sys.argv[1]), 0.0)
"""
THEIRS = f"""
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
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, healthcheck_path="/ready")
    port = int(sys.argv[1])
    server.run(host="127.0.0.1", port=port, log_level="warning", num_api_servers=1, generate_client_file=False)
"""


def main() -> None:
    """Measure and print; exit status 1 when a goal is missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    ports = {"ours": free_port(), "LitServe": free_port()}
    servers = [start(OURS, ports["ours"]), start(THEIRS, ports["LitServe"])]
    try:
        for port in ports.values():
            wait_until_ready(port)
        missed = [size for size, goal in GOALS.items() if compare(ports, size, rounds) > goal]
    finally:
        for server in servers:
            os.killpg(server.pid, signal.SIGKILL)  # LitServe's own processes outlive a SIGTERM
            server.wait(30)
    raise SystemExit(1 if missed else 0)


def compare(ports: dict[str, int], size: int, rounds: int) -> float:
    """Ours over LitServe's median time to an answer, for instances of `size` bytes."""
    spent: dict[str, list[float]] = {name: [] for name in ports}
    for name in ports:
        ask(ports[name], size)  # warm-up
    for number in range(rounds):
        for name in sorted(ports, reverse=bool(number % 2)):
            spent[name] += ask(ports[name], size)
    p50 = {name: 1000 * statistics.median(times) for name, times in spent.items()}
    ratio = p50["ours"] / p50["LitServe"]
    told = ", ".join(f"{name} {ms:.2f} ms" for name, ms in p50.items())
    print(f"4 instances of {size // 1000} kB, p50: {told}; ratio {ratio:.2f} (goal {GOALS[size]})", flush=True)
    return ratio


def ask(port: int, size: int) -> list[float]:
    """Seconds of each request of one round, asked by another process."""
    command = [sys.executable, __file__, "client", str(port), str(size)]
    told: list[float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told


def client(port: int, size: int) -> None:
    """The asking process: prints the seconds of each request as JSON."""
    import cv2
    import numpy as np

    picture = np.zeros((64, 64, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
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


def start(program: str, port: int) -> "subprocess.Popen[bytes]":
    """A server in its own process; its program lies in a file, as LitServe's workers import it."""
    path = f"/tmp/grounder-benchmark-{os.getpid()}-{port}.py"
    with open(path, "w") as stream:
        stream.write(program)
    words = [sys.executable, path, str(port)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


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
