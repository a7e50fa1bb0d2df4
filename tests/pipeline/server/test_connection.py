"""One connection against a real server process: pipelining, silence, upgrades, refusals, and two SIGTERMs.

What is asserted is what bounds an attack (answers, closed connections), not how long it took; times are set short.
"""

import contextlib
import json
import re
import signal
import socket
import time

import httpx
import pytest
from harm import HEALTH, announced
from stub_server import STUB, connected, start, stop

IDLE_S = 1.5
SHORT = f"""
import pipeline.server.bodies as b, pipeline.server.connection as c, uvicorn
b.WINDOW_S, b.LEAST_RATE, c.HEAD_S, c.UNREAD_S, c.FLUSH_S = 0.7, 100, 0.7, 0.7, 0.2
real = uvicorn.Config
uvicorn.Config = lambda *words, **more: real(*words, **{{**more, "timeout_keep_alive": {IDLE_S}}})
"""


@pytest.fixture(scope="module")
def served():
    process, url = start("-c", SHORT + STUB, "0.001")
    yield url
    stop(process)


@contextlib.contextmanager
def talking(url, *pieces):
    with connected(url) as connection:
        for piece in pieces:
            connection.sendall(piece)
        yield connection


def heard(connection):
    """All that the server says until it closes."""
    told = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(2**16):
            told += data
    return told


def answer(connection):
    """One whole answer: its first bytes, its body."""
    told = b""
    while b"\r\n\r\n" not in told:
        told += (data := connection.recv(2**16))
        assert data, told
    head, _, body = told.partition(b"\r\n\r\n")
    while len(body) < int(re.search(rb"content-length: (\d+)", head)[1]):
        body += (data := connection.recv(2**16))
        assert data, told
    return head, body


@pytest.mark.faults
def test_requests_behind_an_unanswered_one_are_not_kept(served, count):
    """However many come in one go, one is answered and the connection closed: nothing is parsed to wait."""
    for number in (2, 100, count(short=40_000, full=380_000)):
        with connected(served) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(HEALTH * number)
            told = heard(connection)
            assert told.count(b"HTTP/1.1 200") == 1
            assert b"connection: close" in told
    with talking(served, HEALTH) as connection:  # one after another is as ever
        for _ in range(3):
            assert b"health ok" in answer(connection)[1]
            connection.sendall(HEALTH)


@pytest.mark.parametrize("after", [b"", b"\r\n", b"\r\n\r\n"])
def test_an_answered_connection_is_closed_when_idle_whatever_came_since(served, after):
    with talking(served, HEALTH) as connection:
        assert b"health ok" in answer(connection)[1]
        for _ in range(4):  # as long as nobody asks
            with contextlib.suppress(ConnectionError):
                connection.sendall(after)
            time.sleep(IDLE_S / 4)
        assert heard(connection) == b""


def test_a_body_that_is_refused_or_not_wanted_does_not_keep_its_connection(served):
    for head in (announced(10**9), announced(10, "/health"), announced(10, "/nowhere")):
        with talking(served, head) as connection:
            answer(connection)
            connection.sendall(b"1")
            assert heard(connection) == b""


def test_a_client_that_reads_no_answer_is_cut_off(served):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = served.removeprefix("http://").split(":")
        connection.connect((host, int(port)))
        connection.settimeout(0.2)
        ends = time.monotonic() + 20
        with pytest.raises(ConnectionError):
            while time.monotonic() < ends:
                with contextlib.suppress(TimeoutError):
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                time.sleep(0.001)


@pytest.mark.parametrize("sent", [b"", b"{", b'{"instances"'])
def test_a_body_that_does_not_come_is_408(served, sent):
    with talking(served, announced(32 * 2**20), sent) as connection:
        head, body = answer(connection)
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"too slowly" in body


def test_announced_bodies_hold_no_room_and_slow_ones_may_come(served):
    with contextlib.ExitStack() as stack:
        for _ in range(20):  # 640 MiB announced of the 256 MiB that may be held
            stack.enter_context(talking(served, announced(32 * 2**20), b"{"))
        assert httpx.post(f"{served}/identify", content=b'{"instances": []}').json() == {"predictions": []}
        assert "grounder_buffered_bytes 2" in httpx.get(f"{served}/metrics").text
    body = b'{"instances": []}' + b" " * 600
    with talking(served, announced(len(body))) as connection:
        for start_ in range(0, len(body), 40):  # 400 bytes a second, of which 100 are asked
            connection.sendall(body[start_ : start_ + 40])
            time.sleep(0.1)
        assert answer(connection)[1] == b'{"predictions":[]}'


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.0, foo"])
@pytest.mark.parametrize("pieces", [1, 7])
def test_an_upgrade_is_passed_over(served, protocol, pieces):
    """As curl --http2 and Java's client ask; the body arrives, the connection lives on."""
    body = b'{"instances":[]}'
    lines = ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"]
    chunked = announced(0, "/identify", *lines).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    for message in (announced(len(body), "/identify", *lines) + body, chunked + b"10\r\n" + body + b"\r\n0\r\n\r\n"):
        with connected(served) as connection:
            for _ in range(2):
                step = -(-len(message) // pieces)
                for place in range(0, len(message), step):
                    connection.sendall(message[place : place + step])
                    time.sleep(0.02 if pieces > 1 else 0)
                head, told = answer(connection)
                assert head.startswith(b"HTTP/1.1 200 "), head
                assert told == b'{"predictions":[]}'


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST /identify/ HTTP/1.1\r\nHost: evil\r\nContent-Length: 0\r\n\r\n", 404),
        (b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /identify HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"BREW / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST /identify HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000, 431),
    ],
)
def test_every_refusal_has_the_form_that_the_docs_give(served, request_, status):
    with talking(served, request_) as connection:
        head, body = answer(connection)
        assert head.startswith(b"HTTP/1.1 %d " % status), head
        assert list(json.loads(body)) == ["error"]


def test_a_second_sigterm_ends_it_at_once():
    """While the worker is in the midst of a batch that takes a minute."""
    process, url = start("-c", STUB, "60")
    with contextlib.suppress(httpx.ReadTimeout):
        httpx.post(f"{url}/identify", content=asked(), timeout=httpx.Timeout(5, read=0.5))
    process.send_signal(signal.SIGTERM)
    while httpx.get(f"{url}/ready").status_code != 503:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 128 + signal.SIGTERM


def asked():
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC"
    return json.dumps({"instances": [{"caption": "a", "b64": png}]}).encode()
