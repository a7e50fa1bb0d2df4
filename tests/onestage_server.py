"""A stub of an OpenAI-compatible server: it answers as it is told, slowly, wrongly, or not at all."""

import base64
import contextlib
import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


class Stub:
    """A server on a free port; `reply(caption, image_count)` gives the text, a number (a status) or None (hangs up)."""

    def __init__(self, reply, delay_s=0.0, logprobs=None):
        self.reply, self.asked, self.headers, self.most_at_once = reply, [], [], 0
        self._now, self._lock, stub = 0, threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with stub._lock:
                    stub.asked.append(body)
                    stub.headers.append(dict(self.headers))
                    stub._now += 1
                    stub.most_at_once = max(stub.most_at_once, stub._now)
                try:
                    time.sleep(delay_s)
                    self.answer(reply(body))
                finally:
                    with stub._lock:
                        stub._now -= 1

            def answer(self, told):
                if told is None:
                    self.connection.close()
                    return
                status = told if isinstance(told, int) else 200
                choice = {"message": {"content": told}, "logprobs": {"content": logprobs} if logprobs else None}
                value = {"choices": [choice], "usage": {"completion_tokens": 7}}
                data = told.encode() if status == 200 and told.startswith("RAW") else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class RawStub:
    """A server on a free port that reads a request whole, then lets `talk(connection)` write whatever it likes."""

    def __init__(self, talk):
        self.heads, self._talk = [], talk
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                threading.Thread(target=self._one, args=(self._listening.accept()[0],), daemon=True).start()

    def _one(self, connection):
        with connection, contextlib.suppress(OSError):  # the client has gone
            head, _, body = connection.recv(2**16).partition(b"\r\n\r\n")
            self.heads.append(head)
            left = int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1]) - len(body)
            while left > 0:
                left -= len(connection.recv(2**16))
            self._talk(connection)

    def close(self):
        self._listening.close()


def words_of(body):
    return body["messages"][0]["content"][-1]["text"]


def caption_of(body):
    return re.search(r'description "(.*?)" in the image', words_of(body))[1]


def images_of(body):
    """The RGB images of a request."""
    urls = [part["image_url"]["url"] for part in body["messages"][0]["content"][:-1]]
    data = [np.frombuffer(base64.b64decode(url.partition("base64,")[2]), np.uint8) for url in urls]
    return [cv2.imdecode(d, cv2.IMREAD_COLOR)[..., ::-1] for d in data]
