"""The client against servers that break the protocol: one line within the time, no key told, no wrong box."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from onestage_server import RawStub

from core.errors import InputError
from onestage import chat
from onestage.build import build_onestage, build_reranker
from onestage.chat import Reply
from onestage.reranking import shares_of
from onestage.settings import OneStageConfig, RerankerConfig

BOX = '[{"bbox_2d": [100, 100, 400, 500]}]'
KEY = "s3cret-key"


def said(content=BOX, **more):
    """The body of a well-formed answer."""
    return json.dumps({"choices": [{"message": {"content": content}, **more}]}).encode()


def answer(body=None, head=b"HTTP/1.1 200 OK\r\n", length=None):
    body = said() if body is None else body
    told = head + b"Content-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body
    return lambda connection: connection.sendall(told)


def drip(first, piece, pause_s):
    """Writes `first`, then `piece` again and again for ten seconds."""

    def talk(connection):
        connection.sendall(first)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            connection.sendall(piece)
            time.sleep(pause_s)

    return talk


def redirect(status, where):
    return answer(b"", f"HTTP/1.1 {status} x\r\nLocation: {where}\r\n".encode())


@pytest.fixture
def ask(monkeypatch, image):
    """`ask(talk, **settings)`: what the model says to one caption; `ask.stub` is the server asked last."""
    monkeypatch.setattr(chat, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    stubs = []

    def run(talk, **settings):
        stubs.append(RawStub(talk))
        run.stub = stubs[-1]
        config = {"weights": stubs[-1].url, "model": "m", "timeout_s": 0.5, "tries": 2} | settings
        ((_, _, found),) = build_onestage(OneStageConfig(**config)).ground([image], [["red drone"]])
        return found

    yield run
    for stub in stubs:
        stub.close()


ENDLESS = {
    "a body in chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.05),
    "a body of known length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b" ", 0.05),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"a", 0.05),
    "the status": (b"HTTP/1.", b"1", 0.05),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_an_answer_that_never_ends_is_over_with_the_timeout(ask, what):
    began = time.monotonic()
    with pytest.raises(InputError, match=r"gave no answer in 2 tries \(no answer within 0\.5 s\)"):
        ask(drip(*ENDLESS[what]))
    assert 1.0 <= time.monotonic() - began < 4.0
    assert len(ask.stub.heads) == 2


def test_an_answer_without_end_in_size_is_not_read(ask):
    huge = drip(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n", b" " * 2**20, 0)
    with pytest.raises(InputError, match="an answer of more than 16 MiB"):
        ask(huge, timeout_s=30, tries=1)


@pytest.mark.parametrize(
    ("talk", "told"),
    [
        (answer(length=len(said()) + 100), "IncompleteRead"),
        (answer(length=10), "Expecting"),
        (answer(b"<html>hello</html>"), "Expecting value"),
        (answer(b""), "Expecting value"),
        (answer(b'{"choices": [{"message": {"content": "\xff"}}]}'), "decode byte 0xff"),
        (answer(b"[" * 100_000), "recursion"),
        (answer(b"9" * 10_000), "4300 digits"),
        (answer(head=b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500), "more than 100 headers"),
        (lambda connection: connection.sendall(b"SSH-2.0\r\n"), "SSH-2.0"),
        (answer(b"null"), "in no form of chat completions: null"),
        (answer(b"[]"), "in no form"),
        (answer(b"NaN"), "in no form"),
        (answer(b'{"error": {"message": "overloaded"}}'), "in no form .*overloaded"),
        (answer(b'{"choices": {"0": 1}}'), "in no form"),
        (answer(b'{"choices": ["x"]}'), "in no form"),
        (answer(b'{"choices": [{"message": "x"}]}'), "in no form"),
        (drip(b"HTTP/1.1 400 no\r\nContent-Length: 600\r\n\r\nabc", b"", 0.1), "refuses: status 400"),
    ],
)  # fmt: skip
def test_a_broken_answer_is_one_line(ask, talk, told):
    with pytest.raises(InputError, match=told) as error:
        ask(talk)
    assert len(str(error.value).splitlines()) == 1
    assert str(error.value).startswith("onestage: http://127.0.0.1:")


@pytest.mark.parametrize("body", [
    b'{"choices": []}', said(None), said(None, tool_calls=[{"function": {"name": "f", "arguments": BOX}}]), said(7),
    said([{"type": "image_url", "image_url": {"url": BOX}}]), said("\ud800"),
    said('[{"bbox_2d": [1, 1, 4, 5], "bbox_2d": [100, 100, 400, 500]}]'),
    said("<box>[[\u0661\u0660\u0660, 100, 400, 500]]</box>"), said("<box>[[100, 100, 400, inf, 500]]</box>"),
    said("<box>[[1e2, 100, 400, 500]]</box>"), said('[{"bbox_2d": [100, 100, 400, 5e999]}]'),
    said('[{"bbox_2d": [-400, 100, 400, 500]}]'), said('[{"bbox_2d": ["100", "100", "400", "500"]}]'),
])  # fmt: skip
def test_an_answer_that_says_no_box_clearly_is_no_answer(ask, body):
    found = ask(answer(body))
    assert (len(found.candidates), found.unparsed) == (0, True)


@pytest.mark.parametrize(
    ("more", "scored"),
    [
        ({"logprobs": None}, False),
        ({"logprobs": {"content": None}}, False),
        ({"logprobs": [1]}, False),
        ({"logprobs": {"content": ["x", {"token": 1}, {"logprob": "0"}, {"logprob": True}, {"logprob": float("nan")}]}},
         False),
        ({"logprobs": {"content": [{"logprob": -(10**400)}]}}, False),
        ({"logprobs": {"content": [{"logprob": 5.0}]}}, True),  # no log-probability is above 0
        ({"logprobs": {"content": [{"logprob": -1e299}] * 3}}, True),
    ],
)  # fmt: skip
def test_log_probabilities_may_be_missing_and_wrong(ask, more, scored):
    found = ask(answer(said(**more)), logprobs=True)
    np.testing.assert_allclose(found.candidates.boxes_xyxy, [[10, 6, 40, 30]], atol=1e-4)
    assert found.scored == scored
    assert 0 <= found.candidates.confidence[0] <= 1


@pytest.mark.parametrize("tokens", [-5, True, 10**30, "7", None, 1.5])
def test_a_number_of_tokens_that_is_none_is_not_counted(ask, tokens):
    assert ask(answer(said()[:-1] + b', "usage": %s}' % json.dumps({"completion_tokens": tokens}).encode())).tokens == 0


def test_words_in_parts_are_words(ask):
    found = ask(answer(said([{"type": "text", "text": BOX[:9]}, {"type": "text", "text": BOX[9:]}])))
    assert len(found.candidates) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_goes_nowhere_but_to_the_address_given(ask, status):
    other = RawStub(answer())
    with pytest.raises(InputError, match=f"status {status}: it redirects to {other.url}, which is not followed"):
        ask(redirect(status, other.url))
    assert other.heads == []
    assert b"Bearer s3cret-key" in ask.stub.heads[0]
    other.close()


@pytest.mark.parametrize("body", [b'{"error": "no such key: s3cret-key"}', b"s3cret-key"])
@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_key_said_back_is_not_in_the_error(ask, status, body):
    with pytest.raises(InputError) as error:
        ask(answer(body, f"HTTP/1.1 {status} x\r\n".encode()))
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "key", "told"),
    [
        ({}, "two\nlines", "onestage.key_variable: OPENAI_API_KEY holds characters"),
        ({}, "caf\u00e9", "onestage.key_variable: OPENAI_API_KEY holds characters"),
    ],
)
def test_a_key_that_cannot_be_sent_is_refused(monkeypatch, settings, key, told):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(InputError, match=told) as error:
        build_onestage(OneStageConfig(**({"weights": "http://127.0.0.1:9/v1", "model": "m"} | settings)))
    assert key not in str(error.value)


@pytest.mark.parametrize("stage", ["onestage", "reranker"])
def test_a_password_in_the_url_is_refused_before_a_run_folder_holds_it(stage, capsys):
    from pipeline.export import main

    with pytest.raises(SystemExit) as stop:
        main(["annotations=a.jsonl", "images=a", f"{stage}=http://me:{KEY}@127.0.0.1:9/v1", "run_dir=run"])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert f"pipeline.export: {stage}: the URL holds a name or password" in told
    assert KEY not in told
    assert not Path("run").exists()


@pytest.mark.parametrize("listed", [
    7, [7], [{"token": "1", "logprob": float("nan")}], [{"token": "1", "logprob": -(10**400)}],
    [{"token": None, "logprob": 0}], [{"token": "1", "logprob": None}],
])  # fmt: skip
def test_shares_of_a_choice_may_be_wrong(listed):
    reply = Reply("1", 1, ({"token": "1", "logprob": 0.0, "top_logprobs": listed},))
    assert shares_of(reply, ["1", "2", "none"]) == ()


def test_a_reranker_is_asked_by_the_same_client(ask, image):
    model = build_reranker(RerankerConfig(weights=RawStub(answer(b"<html>")).url, model="m", tries=1))
    with pytest.raises(InputError, match="reranker: .* gave no answer in 1 tries"):
        list(model.choose(image, [("red drone", np.asarray([[0, 0, 9, 9]]))]))
