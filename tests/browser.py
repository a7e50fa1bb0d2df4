"""Headless Chromium over its DevTools protocol: just what the tests of pages need."""

import contextlib
import json
import shutil
import subprocess
import time
import urllib.request

import pytest
from websockets.sync.client import connect


class Browser:
    """One page of one browser, ended with the `with` block."""

    def __init__(self, profile):
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if program is None:
            pytest.skip("not run: no Chromium here (apt-get install chromium); the page is untested")
        self._process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port = self._wait_for(lambda: (profile / "DevToolsActivePort").read_text().splitlines()[0])
        pages = self._wait_for(lambda: json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list")))
        page = next(p for p in pages if p["type"] == "page")
        self._socket, self._number, self.events = connect(page["webSocketDebuggerUrl"], max_size=None), 0, []

    @staticmethod
    def _wait_for(get, seconds=30):
        ends = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, IndexError):  # not there yet, or half-written; the time is limited below
                if value := get():
                    return value
            assert time.monotonic() < ends, "the browser does not answer"
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        self._process.terminate()
        self._process.wait(20)

    def call(self, method, **parameters):
        """The result of a command of the protocol; what the browser tells meanwhile is kept in `events`."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv(timeout=60))
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]
            self.events.append(told)

    def open(self, url, is_ready="document.readyState === 'complete'"):
        """Load a page and wait until a condition, in the page's script, holds."""
        self.call("Page.navigate", url=url)
        self.wait(f"document.readyState === 'complete' && !!({is_ready})")

    def wait(self, condition):
        """Wait until a condition holds."""
        self._wait_for(lambda: self.ask(f"!!({condition})"))

    def ask(self, script):
        """The value of an expression in the page."""
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")
