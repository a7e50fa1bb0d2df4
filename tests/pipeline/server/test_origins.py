"""Other web sites and a server on loopback: what their pages send is refused, its own page's and programs' is not."""

import pytest
from fastapi.testclient import TestClient

from pipeline.server.origins import allowed_at
from pipeline.server.service import Service, make_app
from pipeline.server.settings import ServerConfig


def status(host, listed=None, at="127.0.0.1", route="/health", **headers):
    service = Service(lambda requests: [], allowed_hosts=allowed_at(at, listed))
    with TestClient(make_app(service), base_url=f"http://{host}") as client:
        given = {name: value for name, value in headers.items() if value is not None}
        response = client.post(route, content='{"instances": []}', headers=given) if route == "/identify" else (
            client.get(route, headers=given))  # fmt: skip
        assert response.status_code == 200 or list(response.json()) == ["error"]
        return response.status_code


@pytest.mark.parametrize("host", ["127.0.0.1:5004", "localhost:5004", "LOCALHOST", "[::1]:5004", "127.0.0.1"])
def test_programs_and_the_own_page_may_ask(host):
    assert status(host) == 200
    assert status(host, route="/identify", origin=f"http://{host}") == 200


@pytest.mark.parametrize("route", ["/health", "/metrics", "/identify", "/"])
def test_a_foreign_name_for_loopback_is_refused(route):
    for host in ("evil.example", "evil.example:5004", "127.0.0.1.evil.example", "localhost.evil.example:5004"):
        assert status(host, route=route) == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost:5990", "null", "file://", "http://[",
               "https://127.0.0.1:1@evil.example", ""])  # fmt: skip
def test_a_page_of_another_site_is_refused(origin):
    assert status("127.0.0.1:5004", route="/identify", origin=origin) == 403


def test_the_list_is_settable_and_other_addresses_check_nothing_without_one():
    assert status("gallery.example", ["gallery.example"]) == 200
    assert status("localhost:5004", ["gallery.example"], route="/identify", origin="https://gallery.example") == 200
    assert status("anything", at="0.0.0.0", route="/identify", origin="http://elsewhere") == 200
    assert status("anything", ["mine.example"], at="0.0.0.0") == 403
    assert status("[::2]:5004", at="::1") == 403


def test_loopback_is_the_default():
    assert ServerConfig().host == "127.0.0.1"
