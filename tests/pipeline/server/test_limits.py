"""What a request may be, counted before it is unfolded or decoded: values of JSON, scans, bytes of bodies."""

import base64
import json
import re
import textwrap

import numpy as np
import pytest
from fastapi.testclient import TestClient
from harm import scan_bomb, unfolding
from hostile import b64
from hypothesis import given
from hypothesis import strategies as st

import pipeline.server.service as service_module
from core.images import encode_image
from pipeline.server.bodies import MIB, SMALL_BYTES, Room
from pipeline.server.encoded import decode_base64
from pipeline.server.limits import VALUES, LimitsConfig, count_values, parse_request
from pipeline.server.refusals import RefusedError
from pipeline.server.service import Service, make_app

PIXEL = b64(encode_image(np.zeros((4, 4, 3), np.uint8), ".png"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
)


def number_of_values(value):
    if isinstance(value, dict):
        return 1 + sum(1 + number_of_values(v) for v in value.values())
    return 1 + sum(map(number_of_values, value)) if isinstance(value, list) else 1


@given(JSON, st.booleans())
def test_the_count_is_between_the_values_and_thrice_as_many(value, ascii_only):
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    number = number_of_values(value)
    assert number / 2 <= count_values(body, 10**9) + 1 <= 3 * number + 1


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["lists", "objects", "keys", "strings", "nested", "quotes"])
def test_what_unfolds_to_very_much_is_refused_before_any_value_is_made(kind, count, monkeypatch):
    body = unfolding(kind, count(short=2, full=32) * MIB)
    if kind == "quotes":  # one long string of escapes
        assert count_values(body, 4096) < 10
        return
    monkeypatch.setattr(json, "loads", None)
    with pytest.raises(RefusedError, match=f"more than {64 * VALUES} values") as refused:
        parse_request(body, LimitsConfig())
    assert refused.value.status == 413


def test_the_largest_request_of_the_contract_is_within_the_count():
    instances = [{"key": n, "caption": '"[{,' * 128, "b64": PIXEL} for n in range(64)]
    assert len(parse_request(json.dumps({"instances": instances}, indent=2).encode(), LimitsConfig())) == 64


def test_a_scan_bomb_is_refused_with_its_limit_named():
    def asked(scans):
        return json.dumps({"instances": [{"caption": "a", "b64": b64(scan_bomb(8, scans))}]}).encode()

    with pytest.raises(RefusedError, match=r"instances\[0\]: more than 100 JPEG scans, .* limits.jpeg_scans sets"):
        parse_request(asked(101), LimitsConfig())
    assert parse_request(asked(100), LimitsConfig())[0].pixels == 64
    assert parse_request(asked(101), LimitsConfig(jpeg_scans=101))


def test_large_bodies_are_read_in_another_process_with_the_same_result(monkeypatch):
    asked = []

    def note(pieces, limits, limit_s):
        asked.append(sum(map(len, pieces)))
        return real(pieces, limits, limit_s=limit_s)

    real = service_module._parse_apart
    monkeypatch.setattr(service_module, "_parse_apart", note)
    monkeypatch.setattr(service_module, "INLINE_BYTES", 1000)
    seen = []
    service = Service(lambda requests: seen.append(requests) or [[None] * len(r) for r in requests])
    bodies = [
        json.dumps({"instances": [{"caption": c, "b64": PIXEL} for c in "ab"], "pad": "x" * n}) for n in (0, 2000)
    ]
    with TestClient(make_app(service)) as client:
        for body in bodies:
            assert client.post("/identify", content=body).status_code == 200
        refused = client.post("/identify", content=unfolding("lists", MIB))
        broken = client.post("/identify", content="{" * 3000)
    assert seen[0] == seen[1]
    assert [(i.caption, i.place, i.pixels) for i in seen[0][0]] == [("a", 0, 16), ("b", 1, 16)]
    assert asked == [len(bodies[1]), len(unfolding("lists", MIB)), 3000]
    assert (refused.status_code, broken.status_code) == (413, 400)
    assert "values" in refused.json()["error"]


def test_room_counts_what_arrived_and_leaves_some_to_small_bodies_and_other_clients():
    room = Room(256)
    room.take("large", 128 * MIB, 128 * MIB)
    with pytest.raises(RefusedError):
        room.take("large", 1, 1)
    room.take("second", 64 * MIB, 64 * MIB)
    with pytest.raises(RefusedError):
        room.take("third", SMALL_BYTES + 1, SMALL_BYTES + 1)
    for _ in range(64):
        room.take("small", SMALL_BYTES, SMALL_BYTES)
    with pytest.raises(RefusedError):
        room.take("third", 1, 1)
    room.give_back("second", 64 * MIB)
    room.take("third", 1, 1)
    assert room.held == 192 * MIB + 1


@pytest.mark.parametrize("form", [
    lambda b64: b64, lambda b64: f"data:image/png;base64,{b64}", lambda b64: b64.replace("+", "-").replace("/", "_"),
    lambda b64: b64.rstrip("="), lambda b64: "\r\n".join(textwrap.wrap(b64, 76)), lambda b64: f"\n {b64}\n",
    lambda b64: f"DATA:;Base64,{chr(10).join(textwrap.wrap(b64, 76))}\n",
])  # fmt: skip
def test_base64_is_taken_as_clients_write_it(form):
    rng = np.random.default_rng(5)
    for size in (61, 62, 63):  # none, one and two signs of padding
        data = rng.integers(0, 256, size * 7, np.uint8).tobytes()
        assert decode_base64(form(base64.b64encode(data).decode()), "x") == data


@pytest.mark.parametrize(("b64", "told"), [
    ("QUJD*EVG", "character 5 is '*'"), ("QUJD RUVG", "character 5 is a blank; decoding it as a form makes blanks of"),
    ("data:image/png;base64,QUJ\u00e9", "character 26 is '\\xe9'"), ("b'QUJD'", "character 2 is \"'\""),
    ("QU=JD", "character 3 is '='"), ("QUJDR", "it ends within a byte, after 5 letters"),
    ("data:image/png,abc", "is a data: URL without ';base64,'"),
])  # fmt: skip
def test_what_is_no_base64_is_told_by_its_character(b64, told):
    with pytest.raises(RefusedError, match=re.escape(told)) as refused:
        decode_base64(b64, "instances[0]")
    assert refused.value.status == 400
    assert refused.value.message.startswith("instances[0]: 'b64' is ")
