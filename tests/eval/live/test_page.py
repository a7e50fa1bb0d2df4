"""The page of a running training in headless Chromium: it reloads itself, shows words as text, and fits a phone."""

import json

import numpy as np
import pytest
from browser import Browser

from eval.live import page as live
from eval.live.page import ANSWERS, AUGMENTED, LivePage, Shown, State

SCRIPT = "</p><script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'> & \"jet\" \u2028 \U0001f681"


@pytest.fixture
def run(tmp_path):
    """A run folder with a hostile name, a history and images."""
    folder = tmp_path / "<img src=x onerror=window.harmed=1> a rather long name of a run & more"
    folder.mkdir()
    epochs = [{"step": n, "epoch": n, "loss": 3 / n, "lr": 1e-5, "ranking_accuracy": 1 - 1 / n, "<b>x": 1}
              for n in range(1, 9)]  # fmt: skip
    (folder / "history.jsonl").write_text("".join(json.dumps(e) + "\n" for e in epochs) + '{"step": 9, "lo')
    return folder


def shown(count, text, side=90):
    draw = np.random.default_rng(0)
    return [Shown(draw.integers(0, 255, (side, 2 * side, 3), dtype=np.uint8), text, n % 2 == 0) for n in range(count)]


def test_it_reloads_itself_until_the_run_is_done(run, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "RELOAD_S", 3)  # time to ask between two reloads
    page = LivePage(run, "siglip.train")
    page.show(AUGMENTED, [Shown(np.zeros((1500, 3000, 3), np.uint8))])
    page.show(ANSWERS, shown(5, SCRIPT))
    page.write()
    profile = tmp_path / "browser"
    profile.mkdir()
    with Browser(profile) as browser:
        browser.call("Log.enable")
        browser.call("Network.enable")
        for width in (1280, 390):
            browser.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
            )
            browser.open((run / "live.html").as_uri(), "document.body?.dataset.state === 'running'")
            assert browser.ask("document.documentElement.scrollWidth") <= width
        assert browser.ask("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
        assert browser.ask("[...document.images].map((i) => i.naturalWidth)") == [1200, *[180] * 5]
        assert browser.ask("document.querySelector('h1').textContent") == run.name
        assert SCRIPT in browser.ask("document.querySelector('.shown.small p').textContent")
        assert "<b>x" in browser.ask("[...document.querySelectorAll('dt')].map((e) => e.textContent)")
        assert browser.ask("document.querySelectorAll('svg.chart').length") == 2
        page.show(ANSWERS, shown(3, "red drone"))
        page.write(State.done)
        browser.wait("document.body?.dataset.state === 'done'")  # by itself: nobody loads it again
        assert browser.ask("document.querySelectorAll('.shown.small li').length") == 3
        assert browser.ask("document.querySelector('meta[http-equiv=refresh]')") is None
        assert browser.ask("window.harmed === undefined && document.scripts.length === 0")
        asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
        assert all(url.startswith(("data:", (run / "live.html").as_uri())) for url in asked), asked
        assert not [e for e in browser.events if e["method"] == "Log.entryAdded"]


def test_a_page_that_cannot_be_written_ends_nothing(run, capsys):
    (run / "live_images.json").write_text("{")
    (run / "live.html").mkdir()
    page = LivePage(run, "siglip.train")
    with page.lasting():
        page.show(ANSWERS, shown(1, "red drone"))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert all(line.startswith("live.html: not written, and the run goes on: ") for line in told)


def test_a_failure_leaves_the_page_as_that_of_a_stopped_run(run):
    with pytest.raises(KeyboardInterrupt), LivePage(run, "detector.train").lasting():
        raise KeyboardInterrupt
    assert 'data-state="stopped"' in (run / "live.html").read_text()
