"""The client against a stub that answers in each convention, slowly, wrongly, and not at all."""

import json
import time

import numpy as np
import pytest
from onestage_server import Stub, caption_of, images_of

from core.errors import InputError
from onestage import chat
from onestage.build import build_onestage
from onestage.settings import AxisOrder, Coordinates, OneStageConfig, Structured

BOX = [10.0, 6.0, 40.0, 30.0]  # in the 100 x 60 image
RELATIVE = np.asarray(BOX) / [100, 60, 100, 60]


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setattr(chat, "FIRST_PAUSE_S", 0.01)
    stubs = []

    def start(reply, **more):
        stubs.append(Stub(reply if callable(reply) else lambda body: reply, **more))
        return stubs[-1]

    yield start
    for stub in stubs:
        stub.close()


def ground(stub, image, captions=("red drone",), **settings):
    model = build_onestage(OneStageConfig(weights=stub.url, model="m", **settings))
    found = {place: g for _, place, g in model.ground([image], [list(captions)])}
    return [found[place] for place in range(len(captions))]


def as_json(numbers, key="bbox_2d"):
    return json.dumps([{key: [round(float(n), 4) for n in numbers]}])


@pytest.mark.parametrize(
    ("coordinates", "factor", "resized"),
    [
        ("pixels", [100, 60], None),
        ("unit", [1, 1], None),
        ("thousand", [1000, 1000], None),
        ("resized", [56, 28], [56, 28]),
    ],
)
@pytest.mark.parametrize("order", ["xyxy", "yxyx"])
def test_each_convention_gives_the_same_box(serve, image, coordinates, factor, resized, order):
    numbers = RELATIVE * np.tile(factor, 2)
    numbers = numbers[[1, 0, 3, 2]] if order == "yxyx" else numbers
    stub = serve(as_json(numbers, "box"))
    (found,) = ground(
        stub, image, coordinates=Coordinates[coordinates], order=AxisOrder[order], resized=resized, box_key="box"
    )  # fmt: skip
    np.testing.assert_allclose(found.candidates.boxes_xyxy, [BOX], atol=0.02)
    assert (found.scored, found.unparsed, found.tokens) == (False, False, 7)
    words = stub.asked[0]["messages"][0]["content"][-1]["text"]
    assert ("ymin, xmin" in words) == (order == "yxyx")
    assert '"red drone"' in words


@pytest.mark.parametrize(
    "text",
    [
        '```json\n[{"bbox_2d": [100, 100, 400, 500], "label": "x"}]\n```',
        'Here it is: {"bbox_2d": [100, 100, 400, 500]} as asked',
        '{"objects": [{"bbox_2d": [100, 100, 400, 500]}]}',
        '[{"bbox_2d": [[100, 100, 400, 500]]}]',
        "[100, 100, 400, 500]",
        "<ref>red drone</ref><box>[[100, 100, 400, 500]]</box>",
        "<ref>red drone</ref><box><100><100><400><500></box>",
    ],
)
def test_the_forms_that_models_write(serve, image, text):
    (found,) = ground(serve(text), image)
    np.testing.assert_allclose(found.candidates.boxes_xyxy, [BOX], atol=0.02)


@pytest.mark.parametrize(
    "text",
    [
        "", "I see no such thing.", "[1, 2, 3]", '[{"bbox": [1, 2, 3, 4]}]', '[{"bbox_2d": [1, 2, "3", 4]}]',
        '[{"bbox_2d": [1, 2, NaN, 4]}]', '[{"bbox_2d": [1, 2, 1e999, 4]}]', '[{"bbox_2d": [400, 500, 100, 100]}]',
        '[{"bbox_2d": [100, 100, 4000, 500]}]', '[{"bbox_2d": [true, 2, 3, 4]}]', "[" * 5000, '[{"bbox_2d": null}]',
        '{"bbox_2d": {"x": 1}}', '[{"bbox_2d": [100, 100, 400, 500]}, {"bbox_2d": "?"}]',
    ],
)  # fmt: skip
def test_a_lie_is_no_answer_and_is_counted(serve, image, text):
    (found,) = ground(serve(text), image)
    assert (len(found.candidates), found.unparsed) == (0, True)


def test_an_empty_list_is_an_answer(serve, image):
    (found,) = ground(serve("[]"), image)
    assert (len(found.candidates), found.unparsed) == (0, False)


def test_what_is_sent(serve, image, monkeypatch):
    monkeypatch.setenv("MY_KEY", "s3cret")
    stub = serve("[]")
    ground(stub, image, key_variable="MY_KEY", structured=Structured.schema, seed=5)
    (body,) = stub.asked
    assert (body["model"], body["temperature"], body["seed"]) == ("m", 0.0, 5)
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["objects"]
    assert stub.headers[0]["Authorization"] == "Bearer s3cret"
    np.testing.assert_array_equal(images_of(body)[0], image)  # PNG: the very pixels
    assert "logprobs" not in body
    ground(stub, image)
    assert "response_format" not in stub.asked[1]


def test_log_probabilities_are_a_confidence(serve, image):
    tokens = [{"token": "1", "logprob": -0.5}, {"token": "2", "logprob": -1.5}]
    (found,) = ground(serve(as_json(RELATIVE * 1000), logprobs=tokens), image, logprobs=True)
    assert found.scored
    np.testing.assert_allclose(found.candidates.confidence, [np.exp(-1)], atol=1e-6)


def test_eight_at_once_and_each_caption_its_own_answer(serve, image):
    captions = [f"thing {n}" for n in range(16)]

    def reply(body):
        n = int(caption_of(body).split()[1])
        return as_json([n, n, n + 100, n + 100])

    stub = serve(reply, delay_s=0.1)
    began = time.monotonic()
    found = ground(stub, image, captions)
    assert stub.most_at_once == 8
    assert time.monotonic() - began < 1.2
    np.testing.assert_allclose([g.candidates.boxes_xyxy[0, 0] for g in found], np.arange(16) / 10, atol=1e-4)


def test_a_passing_failure_is_tried_again(serve, image):
    told = iter([503, None, as_json(RELATIVE * 1000)])
    (found,) = ground(serve(lambda body: next(told)), image)
    assert len(found.candidates) == 1


@pytest.mark.parametrize(
    ("reply", "settings", "told", "tries"),
    [
        (500, {}, "gave no answer in 3 tries .status 500", 3),
        (None, {}, "gave no answer in 3 tries", 3),
        (401, {}, "refuses: status 401", 1),
        ("RAW <html>", {}, "gave no answer in 3 tries", 3),
    ],
)
def test_a_server_that_is_wrong_is_one_line(serve, image, reply, settings, told, tries):
    stub = serve(reply)
    with pytest.raises(InputError, match=told):
        ground(stub, image, **settings)
    assert len(stub.asked) == tries


def test_a_slow_server_and_none_at_all(serve, image):
    stub = serve("[]", delay_s=0.5)
    with pytest.raises(InputError, match=r"no answer within 0\.1 s"):
        ground(stub, image, timeout_s=0.1, tries=2)
    stub.close()
    with pytest.raises(InputError, match="gave no answer in 3 tries"):
        ground(stub, image)


def test_what_was_answered_before_the_server_went_is_given(serve, image):
    def reply(body):
        return 400 if caption_of(body) == "c" else "[]"

    model = build_onestage(OneStageConfig(weights=serve(reply).url, model="m", parallel=1))
    got = []
    with pytest.raises(InputError, match="status 400"):
        for _, place, _ in model.ground([image], [["a", "b", "c", "d"]]):
            got.append(place)
    assert set(got) >= {0, 1}
    assert 2 not in got


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model": None}, "onestage.model: must be given"),
        ({"prompt": "find {thing}"}, "onestage.prompt: 'thing'"),
        ({"coordinates": Coordinates.resized}, "onestage.resized: must be"),
        ({"parallel": 0}, "onestage.parallel: 0 is not at least 1"),
        ({"timeout_s": 0}, "onestage.timeout_s"),
        ({"floor": 2}, "onestage.floor: 2 is not within"),
    ],
)
def test_wrong_settings_are_one_line(settings, told):
    with pytest.raises(InputError, match=told):
        build_onestage(OneStageConfig(**({"weights": "http://127.0.0.1:9/v1", "model": "m"} | settings)))
