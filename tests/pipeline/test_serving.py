"""A real server process: the client's scores, SIGTERM under load, clients that leave, overload, and the page."""

import asyncio
import base64
import importlib.util
import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]

# The real service around a worker of known speed: capacity is 1 / SECONDS instances a second.
STUB = """
import sys, time
from pipeline.listening import serve
from pipeline.queueing import QueueConfig
from pipeline.service import Service
seconds = float(sys.argv[1])
def work(requests):
    boxes = [[[1.0, 2.0, 3.0, 4.0] for _ in r] for r in requests]
    time.sleep(seconds * sum(map(len, requests)))
    return boxes
serve(Service(work, queueing=QueueConfig(batch=8, waiting=16)), "127.0.0.1", 0, 0.3)
"""


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


@pytest.fixture(scope="module")
def picture():
    import numpy as np

    from core.images import encode_image

    return base64.b64encode(encode_image(np.zeros((9, 9, 3), np.uint8), ".png")).decode()


def body(picture, count=1):
    return json.dumps({"instances": [{"caption": "a", "b64": picture}] * count}).encode()


def test_the_client_scores_the_server_as_export_did_and_the_page_shows_its_box(export, system, tmp_path):
    folder = export("run")
    process, url = start("-m", "pipeline.server", f"pipeline={folder.resolve()}", "port=0", "host=127.0.0.1",
                         f"run_dir={tmp_path}/served")  # fmt: skip
    try:
        client = load("test_client", ROOT / "scripts/test_client.py")
        client.main([f"annotations={system}/scenes/annotations.jsonl", f"images={system}/scenes/images",
                     f"url={url}", "run_dir=asked"])  # fmt: skip
        asked, exported = (json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("asked", "run"))
        assert asked["num_hits"] == exported["num_hits"]
        assert asked["total"] == 0.9 * asked["accuracy"] + 0.1 * (1 - asked["elapsed_s"] / 5400)
        answers, told = (read_boxes(tmp_path / n / "predictions.jsonl") for n in ("asked", "run"))
        assert answers.keys() == told.keys()
        assert all(answers[key] == pytest.approx(told[key], abs=1e-3) for key in told)
        check_page(url, system / "scenes/images/image_0.jpg", answers, tmp_path)
    finally:
        stop(process)
    assert json.loads((tmp_path / "served/metrics.json").read_text())["num_answered"] > 0


def read_boxes(path):
    from core.records import read_predictions

    return {(p.image, p.caption): p.box_ltwh for e in read_predictions(path) for p in e.predictions}


def check_page(url, image, answers, tmp_path):
    """Drop the image on the page in headless Chromium, type a caption, and read the box and its green outline."""
    Browser = load("page_driver", Path(__file__).with_name("page_driver.py")).Browser
    caption = next(c for i, c in answers if i == image.name)
    with Browser(tmp_path / "profile") as browser:
        browser.open(url)
        assert browser.ask("document.title") == "Grounder"
        assert browser.find("red jet") == "Choose an image first."
        browser.drop(image)
        told = browser.find(caption)
        box = [float(v) for v in re.findall(r"-?[\d.]+", told)]
        assert box == pytest.approx(answers[image.name, caption], abs=0.06), told
        left, top = box[0], box[1] + box[3] / 2
        red, green, blue = browser.pixel(left, top)
        assert green > red + 30, (red, green, blue)
        assert green > blue + 30


def test_sigterm_under_load_answers_all_that_was_accepted(picture):
    process, url = start("-c", STUB, "0.005")
    answered, broken = [], []
    ends = threading.Event()

    def load():
        with httpx.Client() as client:
            while not ends.is_set():
                try:
                    answered.append(client.post(f"{url}/identify", content=body(picture)).status_code)
                except httpx.ConnectError:
                    return
                except httpx.TransportError as error:
                    broken.append(error)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    stop(process)
    ends.set()
    for thread in threads:
        thread.join()
    assert len(answered) > 50
    assert set(answered) <= {200, 503}
    assert not broken


def test_clients_that_leave_free_the_queue(picture):
    process, url = start("-c", STUB, "0.05")
    try:
        for _ in range(40):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{url}/identify", content=body(picture, 8), timeout=httpx.Timeout(5, read=0.02))
        ends = time.monotonic() + 5
        while "grounder_waiting_instances 0.0" not in httpx.get(f"{url}/metrics").text:
            assert time.monotonic() < ends
            time.sleep(0.05)
        started = time.monotonic()
        assert httpx.post(f"{url}/identify", content=body(picture)).status_code == 200
        assert time.monotonic() - started < 2
    finally:
        stop(process)


@pytest.mark.faults
def test_overload_serves_nine_tenths_of_capacity_with_flat_memory_and_recovers(picture, count):
    """Ten times the capacity is asked for; refusals are 503 with Retry-After."""
    seconds, each = count(short=4, full=60), 0.02
    process, url = start("-c", STUB, str(each))
    try:
        asyncio.run(flood(url, body(picture), 1.0, 10 / each))  # warm
        before = rss_mib(process)
        codes, spent = asyncio.run(flood(url, body(picture), seconds, 10 / each))
        assert set(codes) == {200, 503}
        assert codes[200] / spent >= 0.9 / each, codes
        assert rss_mib(process) - before < 64
        started = time.monotonic()
        while httpx.post(f"{url}/identify", content=body(picture)).status_code != 200:
            assert time.monotonic() - started < 2
        assert time.monotonic() - started < 2
    finally:
        stop(process)


async def flood(url, content, seconds, rate):
    """Ask `rate` times a second over 64 bare connections; (status counts, seconds)."""
    codes = {}
    host, port = url.removeprefix("http://").split(":")
    message = b"POST /identify HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    started = time.monotonic()

    async def connection(place):
        reader, writer = await asyncio.open_connection(host, int(port))
        while (now := time.monotonic() - started) < seconds:
            await asyncio.sleep(max(0.0, place / rate - now))
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
            status = int(head.split(None, 2)[1])
            assert status != 503 or b"retry-after" in head
            codes[status] = codes.get(status, 0) + 1
            place += 64
        writer.close()

    await asyncio.gather(*map(connection, range(64)))
    return codes, time.monotonic() - started


def rss_mib(process):
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096 / 2**20
