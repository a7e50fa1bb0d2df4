"""Headless Chromium over its DevTools protocol: just what the page's test needs."""

import base64
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
        self._socket, self._number = connect(page["webSocketDebuggerUrl"], max_size=None), 0

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

    def _call(self, method, **parameters):
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv(timeout=60))
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]

    def open(self, url):
        self._call("Page.navigate", url=url)
        self._wait_for(lambda: self.ask("document.readyState === 'complete' && !!document.querySelector('#ask')"))

    def ask(self, script):
        told = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def drop(self, path):
        """Drop a file on the page, as a user's mouse would."""
        data = base64.b64encode(path.read_bytes()).decode()
        self.ask(f"""(() => {{
            const bytes = Uint8Array.from(atob("{data}"), c => c.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], "{path.name}", {{type: "image/jpeg"}}));
            document.querySelector("#drop").dispatchEvent(new DragEvent("drop", {{dataTransfer, bubbles: true}}));
        }})()""")
        self._wait_for(lambda: self.ask("!document.querySelector('#canvas').hidden"))

    def find(self, caption):
        """Type a caption, press the button, and return what the page then says."""
        self.ask("document.querySelector('#caption').value = ''; document.querySelector('#caption').focus()")
        self._call("Input.insertText", text=caption)
        self.ask("document.querySelector('#find').click()")
        said = "document.querySelector('#answer').textContent"
        self._wait_for(lambda: self.ask(f"{said} !== '' && {said} !== 'Looking…'"))
        return self.ask(said)

    def screenshot(self):
        """The page as a PNG, in full height."""
        return base64.b64decode(self._call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def pixel(self, x, y):
        """(red, green, blue) of the canvas at a pixel of the image."""
        script = "[...document.querySelector('#canvas').getContext('2d').getImageData(%d, %d, 1, 1).data]"
        return self.ask(script % (round(x), round(y)))[:3]
