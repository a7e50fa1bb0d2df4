"""Hostile words and paths in Chromium: what files say is text everywhere, and no file outside the folder is shown."""

import json

import numpy as np
import pytest

from core.cuts import CutConfig
from core.files import write_text
from core.images import write_image
from data.captions import read_annotations
from eval.report import main

SCRIPT = (
    "</script><script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'> & \"jet\" \u2028 \U0001f681"
)
HOSTILE = {
    "red jet": SCRIPT,
    "blue jet": "{{ 7 * 7 }} ${7 * 7} <!-- <script> jet",
    "grey drone": "javascript:alert(1) drone",
}


@pytest.fixture(scope="module")
def hostile(made_up, runs, tmp_path_factory):
    """An export whose captions, image names and run name try to be markup, script and paths."""
    root = tmp_path_factory.mktemp("hostile")
    store, truth = made_up.store(root, num_images=8)
    annotated = read_annotations(truth)
    runs.draw_images(annotated, root / "images", made_up.size)
    write_image(root / "outside.png", np.full((*made_up.size[::-1], 3), 200, np.uint8))
    run = root / "<b onclick=window.harmed=1>run<&b>"
    runs.export(made_up, store, truth, run, root / "images", CutConfig(0.3, 0.5, 20))
    names = {"im_1.jpg": "link.png", "im_2.jpg": "x<img src=x onerror=window.harmed=1>.jpg",
             "im_5.jpg": "a%2fb c#d?.jpg", "im_4.jpg": "javascript:window.harmed=1"}  # fmt: skip
    (root / "images/link.png").symlink_to(root / "outside.png")
    for old in ("im_2.jpg", "im_5.jpg", "im_4.jpg"):
        (root / "images" / old).rename(root / "images" / names[old])
    for path in (truth, run / "predictions.jsonl", *(store.folder / "sets").glob("*.json")):
        text = path.read_text()
        for old, new in (names | HOSTILE).items():
            text = text.replace(json.dumps(old), json.dumps(new))
        write_text(path, text)
    texts = store.read_texts("scorerkey")
    known = [caption for caption in HOSTILE if caption in texts]
    store.add_texts("scorerkey", [HOSTILE[c] for c in known], np.stack([texts[c] for c in known]))
    main([f"run='{run}'", f"run_dir={root}/report", "png=false", f"truth={truth}"])
    return root


def test_words_are_text_wherever_they_stand(hostile, page):
    page.events.clear()
    page.call("Network.enable")
    page.visit(hostile / "report/report.html")
    total = page.count()
    assert total == sum(len(e.annotations) for e in read_annotations(hostile / "truth.jsonl"))
    captions = page.ask("[...document.querySelectorAll('.card h3')].map((e) => e.textContent)")
    assert SCRIPT in captions
    assert {a["caption"] for line in page.lines() for a in line["annotations"]} >= set(HOSTILE.values())
    for word in ("onerror", "{{"):
        page.ask(f"""(() => {{ const words = document.querySelector('#filters').elements.words;
            words.value = {json.dumps(word)}; words.dispatchEvent(new Event('input')); }})()""")
        assert 0 < page.count() < total
    for m in range(total):
        page.go(f"#/caption={m}")
        assert page.ask("document.querySelector('#enlarged').open")
    for link in ("#/w.confidence=abc&caption=9999&sort=constructor&run=-1&score=a..b", "#/w.nms_iou=9", "#/words=%"):
        page.go(link)
        assert 0 <= page.count() <= total
    page.go("#/fate=__proto__")
    assert page.count() == 0
    assert page.ask("window.harmed") is None
    assert not page.complaints()
    asked = [e["params"]["request"]["url"] for e in page.events if e["method"] == "Network.requestWillBeSent"]
    assert asked
    assert all(url.startswith(("file:", "blob:", "data:", "about:")) for url in asked)


def test_nothing_outside_the_folder_is_shown(hostile, refused):
    html = (hostile / "report/report.html").read_text()
    names = json.loads(html.split('id="records">')[1].split("</script>")[0])["images"]["names"]
    thumbnails = html.split('id="thumbnails">')[1].split("</script>")[0].split("\n")
    assert [name for name, line in zip(names, thumbnails, strict=True) if not line] == ["link.png"]
    assert len(names) == 8
    assert "1 image not within" in html
    away = (hostile / "truth.jsonl").read_text().replace("im_0.jpg", "../outside.png")
    write_text(hostile / "away.jsonl", away)
    words = [f"run='{hostile}/<b onclick=window.harmed=1>run<&b>'", f"truth={hostile}/away.jsonl"]
    assert "leads out of the folder" in refused(main, [*words, f"run_dir={hostile}/away"])
