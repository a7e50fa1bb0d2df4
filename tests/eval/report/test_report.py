"""eval.report on made-up runs: its numbers, its tolerance, and that it needs nothing from outside itself."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from core.store import CandidateStore
from core.values import Candidates
from data.captions import read_annotations
from eval.attribution import FATES, colour_of, detection_errors, kind_of, size_of
from eval.boxes.table import make_table
from eval.charts.kinds import span, ticks
from eval.grounding import main as judge_answers
from eval.report import main


class Links(HTMLParser):
    """Every reference of a page, and whether its elements are closed in order."""

    def __init__(self):
        super().__init__()
        self.references, self.open, self.wrong = [], [], []

    def handle_starttag(self, tag, attrs):
        self.references += [v for k, v in attrs if k in {"href", "src", "xlink:href", "action"} and v]
        if tag not in {"meta", "img", "input", "br", "link", "hr", "wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.references += [v for k, v in attrs if k in {"href", "src", "xlink:href"} and v]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_the_report_says_what_the_runs_say(chain, tmp_path):
    main([f"run={chain}", f"run_dir={tmp_path}/report"])
    metrics = json.loads((tmp_path / "report/metrics.json").read_text())
    grounding = json.loads((chain / "grounding/metrics.json").read_text())
    rows = json.loads((chain / "sweep/sweep.json").read_text())
    row = next(r for r in rows if (r["confidence"], r["nms_iou"]) == (0.4, 0.5))
    assert metrics["accuracy"] == grounding["accuracy"] == row["accuracy"]
    assert metrics["ceiling"] == row["ceiling"]
    assert metrics["chance"] == pytest.approx(row["chance"])
    numbers = json.loads((tmp_path / "report/report.json").read_text())
    stages = numbers["stages"]
    assert list(stages["fates"]) == list(FATES)
    assert sum(stages["fates"].values()) == grounding["num_captions"]
    assert (
        stages["num_errors_detector"] + stages["num_errors_scorer"] == grounding["num_captions"] - grounding["num_hits"]
    )
    assert stages["num_errors_detector"] == round((1 - row["ceiling"]) * grounding["num_captions"])
    text = (tmp_path / "report/report.md").read_text()
    assert f"| grounding accuracy | {grounding['accuracy']:.4f} |" in text.split("\n## ")[0]
    for by, group in numbers["breakdowns"].items():
        assert sum(r["captions"] for r in group) == grounding["num_captions"], by


def test_the_candidates_are_those_of_the_exports_own_setting(chain, runs, tmp_path):
    """A store may hold the same checkpoint at another image size: the export says by key which one answered."""
    store = CandidateStore(chain / "export/candidates")
    for path in (store.folder / "proposals/detectorkey").glob("*.npz"):
        views = store.read_views("detectorkey", path.stem)
        store.write_views("another", path.stem, [replace(v, candidates=Candidates.empty()) for v in views])
    store.describe("proposals", "another", {"detector": {"weights": "a.pt", "imgsz": 64}})
    store.describe("proposals", "detectorkey", {"detector": {"weights": "a.pt", "imgsz": 96}})
    config = (chain / "export/config.yaml").read_text() + "detector:\n  weights: a.pt\n"
    ceilings = []
    for keys in ({"detector_key": "detectorkey", "embeddings_key": "none-scorerkey"}, {"detector_key": "another"}):
        runs.record(chain / "export", "pipeline.export", config, keys)
        main([f"run={chain}", f"run_dir={tmp_path}/{keys['detector_key']}", "png=false"])
        ceilings.append(json.loads((tmp_path / keys["detector_key"] / "metrics.json").read_text())["ceiling"])
    rows = json.loads((chain / "sweep/sweep.json").read_text())
    assert ceilings == [next(r["ceiling"] for r in rows if (r["confidence"], r["nms_iou"]) == (0.4, 0.5)), 0]
    page = (tmp_path / "another/report.html").read_text()  # nothing was offered, so nothing is said of the scorer
    assert "no target was offered" in page
    assert "time an image" not in page  # and no time was measured


def test_the_page_is_whole_and_needs_nothing_from_outside(chain, tmp_path):
    main([f"run={chain}", f"run_dir={tmp_path}/report"])
    html = (tmp_path / "report/report.html").read_text()
    links = Links()
    links.feed(html)
    assert not links.wrong
    assert not links.open
    assert links.references
    assert all(r.startswith("#") for r in links.references)
    assert not re.search(r"https?://|@import|url\(", html.replace("http://www.w3.org/2000/svg", ""))  # a name, no place
    anchors = {r[1:] for r in links.references if not r.startswith("#/")}  # those say what the page shows
    assert anchors <= set(re.findall(r'id="([^"]+)"', html))
    assert "default-src 'none'; script-src 'sha256-" in html
    for name in ("precision-recall", "sweep-accuracy", "by-kind"):
        assert (tmp_path / f"report/charts/{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_what_is_missing_is_said_and_the_rest_is_there(chain, tmp_path):
    for image in (tmp_path / "images").iterdir():
        image.unlink()
    main([f"run={chain}", f"run_dir={tmp_path}/a", "png=false"])
    page = (tmp_path / "a/report.html").read_text()
    assert "images could not be read" in page
    assert "Where the errors are made" in page
    main([f"run={chain}/scorer", f"run_dir={tmp_path}/b"])
    page = (tmp_path / "b/report.html").read_text()
    assert "No predictions with their truth were found" in page
    assert "Scorer: loss" in page
    main([f"run={chain}/export", f"runs=[{chain}/coco]", f"truth={tmp_path}/gone.jsonl", f"run_dir={tmp_path}/c"])
    assert "no such truth file" in (tmp_path / "c/report.html").read_text()


def test_strange_images_are_shown_and_unreadable_ones_named_and_every_caption_stays(chain, tmp_path):
    """Rotated by EXIF, CMYK, 16 bit, 1x1 and torn images: the denominator is the whole truth in every case."""
    from PIL import Image

    images = sorted((tmp_path / "images").iterdir())
    plain = Image.fromarray(np.full((48, 64, 3), 90, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    spoiled = {
        "exif": images[0],
        "cmyk": images[1],
        "sixteen": images[2],
        "dot": images[3],
        "torn": images[4],
    }
    plain.save(spoiled["exif"], format="JPEG", exif=exif)
    plain.convert("CMYK").save(spoiled["cmyk"], format="JPEG")
    Image.fromarray(np.full((48, 64), 40000, np.uint16)).save(spoiled["sixteen"], format="PNG")
    plain.resize((1, 1)).save(spoiled["dot"], format="PNG")
    spoiled["torn"].write_bytes(spoiled["torn"].read_bytes()[:40])
    main([f"run={chain}", f"run_dir={tmp_path}/a", "png=false"])
    page = (tmp_path / "a/report.html").read_text()
    truth = read_annotations(chain / "export/truth.jsonl")
    captions = sum(len(entry.annotations) for entry in truth)
    assert json.loads((tmp_path / "a/metrics.json").read_text())["num_captions"] == captions
    assert f"1 image could not be read: {spoiled['torn'].name}" in page
    for kind in ("exif", "cmyk", "sixteen", "dot"):
        assert page.count(spoiled[kind].name) >= 1


def test_captions_cannot_break_the_page(chain, tmp_path):
    from core.files import write_text

    export = chain / "export"
    for path in (export / "truth.jsonl", export / "predictions.jsonl"):
        write_text(path, path.read_text().replace("red jet", "<script>alert(1)</script> & jet"))
    judge_answers(
        [f"truth={export}/truth.jsonl", f"predictions={export}/predictions.jsonl", f"run_dir={chain}/grounding"]
    )
    main([f"run={chain}", f"run_dir={tmp_path}/report"])
    assert "<script>alert" not in (tmp_path / "report/report.html").read_text()


def test_a_folder_without_runs_is_one_clear_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for folder, message in (("empty", "holds no run folder"), ("gone", "no such folder")):
        with pytest.raises(SystemExit) as stop:
            main([f"run={tmp_path}/{folder}", f"run_dir={tmp_path}/report"])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


def test_kinds_colours_and_sizes_of_captions():
    assert kind_of("grey and white fighter plane") == "fighter plane"
    assert colour_of("grey and white fighter plane") == "grey and white"
    assert (kind_of("drone"), colour_of("drone")) == ("drone", "no colour")
    assert kind_of("small weather balloon") == "balloon"
    assert [size_of((0, 0, s, s)) for s in (31, 32, 95, 96)] == ["small", "medium", "medium", "large"]


def test_detection_errors_by_hand():
    truth = make_table([0, 0, 1], [[0, 0, 10, 10], [50, 0, 10, 10], [0, 0, 10, 10]], [1, 1, 1], 2)
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [55, 0, 10, 10], [200, 0, 10, 10]]
    found = make_table([0, 0, 0, 1], boxes, [0.9, 0.8, 0.7, 0.6], 2)
    assert detection_errors(found, truth) == {"right": 1, "duplicate": 1, "mislocated": 1, "background": 1, "missed": 2}


def test_axes_are_round_numbers_within_the_range():
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-3, 7.2) == [-2.5, 0, 2.5, 5]
    assert span([0.0, 1.0], 0) == (0.0, 1.0)
    assert span([]) == (0.0, 1.0)
    assert span([2.0, 2.0])[0] < 2 < span([2.0, 2.0])[1]


def test_a_full_disk_is_one_line_that_names_the_file(chain, tmp_path):
    """RLIMIT_FSIZE refuses a chart in the middle of its writing, as a full disk does."""
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000));"
        f"from eval.report import main; main(['run={chain}', 'run_dir={tmp_path}/report', 'tracking.mode=disabled'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert re.search(r"report/charts/[\w-]+\.png: cannot be written: File too large", done.stderr), done.stderr
    assert json.loads((tmp_path / "report/run.json").read_text())["state"] == "failed"


def test_clean_and_noisy_stand_side_by_side(chain, tmp_path):
    rows = [{"system": "ours", "grade": grade, "accuracy": accuracy, "ci95_low": 0.1, "ci95_high": 0.9, "lost": 0.0}
            for grade, accuracy in (("clean", 0.75), ("gauss2000", 0.5))]  # fmt: skip
    (chain / "robustness").mkdir()
    run = {"command": "eval.robustness", "state": "done", "started": "2026-01-02T00:00:00"}
    (chain / "robustness/run.json").write_text(json.dumps(run))
    (chain / "robustness/robustness.json").write_text(json.dumps(rows))
    main([f"run={chain}", f"run_dir={tmp_path}/report", "png=false"])
    text, page = ((tmp_path / f"report/report.{kind}").read_text() for kind in ("md", "html"))
    assert "| gauss2000 | 0.5000 | 0.1000 | 0.9000 | ours |" in text
    assert re.search(r"gauss2000</td><td class=\"n\">50.0", page)
    assert json.loads((tmp_path / "report/report.json").read_text())["grades"] == rows


def test_a_wrong_folder_of_images_is_one_line(refused):
    from eval.suspects import main as suspects

    for command, words in ((main, ["run=chain", "run_dir=a"]), (suspects, ["runs=[chain]", "run_dir=b"])):
        said = refused(command, [*words, "images=wrong/images"])
        assert "images: wrong/images: no such folder of images" in said
