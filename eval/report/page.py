"""A report's contents as one HTML page, as Markdown and as JSON."""

import base64
import hashlib
import time
from importlib.resources import files
from typing import Any

from core.counting import count
from eval.answers.measures import CURVES, FIGURES, RATIOS
from eval.attribution import FATES, slug
from eval.charts.svg import svg
from eval.report.contents import Contents
from eval.report.links import link, setting_link
from eval.report.packing import script_json
from eval.speed import time_per_image
from eval.sweep import ranked_rows, shown_columns
from eval.tables import markdown, shown

TOP_ROWS = 12  # of the sweep, before the fold
SWEEP_EXTRAS = (
    "chance",
    "ceiling",
    "f1",
    "AP",
    "AP50",
    "precision",
    "recall",
    "none_accuracy",
    "target_accuracy",
    "instance_f1",
)
SCRIPTS = ("data", "elements", "overlaps", "ways", "assignment", "answering", "figures", "views", "state", "selection",
           "card", "gallery", "enlarged", "sliders", "filters", "report")  # fmt: skip
NEVER_OFFERED = "no target was offered"


def summary(contents: Contents) -> dict[str, Any]:
    """The numbers of a report, for `report.json`."""
    return {
        "title": contents.title,
        "truth": contents.truth_path,
        "metrics": contents.metrics,
        "detection": contents.detection,
        "stages": contents.stages,
        "stage_times": contents.stage_times,
        "box_errors": contents.box_errors,
        "grades": contents.grades,
        "systems": contents.systems,
        "breakdowns": contents.breakdowns,
        "pairs": contents.pairs,
        "runs": [{"command": r.command, "folder": str(r.path), "started": r.started, "wall_s": r.wall_s,
                  "metrics": r.metrics} for r in contents.runs],
        "notes": contents.notes,
    }  # fmt: skip


def lead(contents: Contents) -> list[str]:
    """The headline as sentences."""
    m, s, d = contents.metrics, contents.stages, contents.detection
    sentences = []
    if m:
        missing = f" {count(m['num_missing'], 'caption')} got no box, counted as wrong." if m["num_missing"] else ""
        kinds = _kinds(m)
        if m["accuracy"] is not None:
            of = f"{count(m['num_captions_one'], 'caption')}{' with one target' if kinds else ''}"
            hits = f"Of {of}, {m['num_hits']} were answered with the right box"
            sentences.append(f"{hits}: {_told(m['accuracy'], m['ci95'])}.{missing}")
        if kinds:
            exact = _told(m["exact_share"], m["exact_share_ci95"])
            sentences.append(f"Of all {count(m['num_captions'], 'caption')}, {kinds}, every target and nothing else "
                             f"was answered in {exact}.")  # fmt: skip
    if s and m.get("accuracy") is not None:
        sentences.append(f"A random candidate would be right {100 * s['chance']:.1f} % of the time; with these "
                         f"candidates no scorer could exceed {100 * s['ceiling']:.1f} %.")  # fmt: skip
    if s:
        sentences.append(_blame(s))
    elif d:
        sentences.append(f"The detector reaches AP50 {d['AP50']:.3f} and AP {d['AP']:.3f}.")
    return sentences


def _told(share: float, interval: list[float]) -> str:
    low, high = (100 * v for v in interval)
    return f"{100 * share:.1f} % (95 % interval {low:.1f} to {high:.1f}, by image)"


def _kinds(metrics: dict[str, Any]) -> str:
    """How many captions describe several targets or none; empty where every caption describes one."""
    several, none = metrics["num_captions_several"], metrics["num_captions_none"]
    return f"{several} of them with several targets and {none} with none" if several + none else ""


def headline(contents: Contents) -> dict[str, Any]:
    """The one big figure: accuracy, or where no caption has one target the share answered exactly."""
    m = contents.metrics
    if not m or m["accuracy"] is not None:
        return {"label": "grounding accuracy", "share": m.get("accuracy"), "ci95": m.get("ci95")}
    return {"label": "captions answered exactly", "share": m["exact_share"], "ci95": m["exact_share_ci95"]}


def measures(contents: Contents) -> list[dict[str, Any]]:
    """Every figure of the answers with its interval, where some captions describe several targets or none."""
    m = contents.metrics
    if not m or not _kinds(m):
        return []
    intervals = {name: m["ci95"] if name == "accuracy" else m[f"{name}_ci95"] for name in FIGURES}
    known = [(name, meaning, intervals[name]) for name, meaning in {**RATIOS, **CURVES}.items() if m[name] is not None]
    return [{"figure": name, "value": m[name], "low": low, "high": high, "meaning": meaning}
            for name, meaning, (low, high) in known]  # fmt: skip


def _blame(stages: dict[str, Any]) -> str:
    """Which stage lost how many; one is named to be worked on only where the interval of the difference allows it."""
    detector, scorer = stages["num_errors_detector"], stages["num_errors_scorer"]
    if not detector + scorer:
        return "There are no errors."
    lost = f"{detector} were lost by the detector (no good candidate), {scorer} by the scorer (a good one was there)"
    low, high = stages["stage_difference_ci95"]
    told = f"of the detector's share minus the scorer's {100 * low:+.1f} to {100 * high:+.1f} points, by image"
    if low <= 0 <= high:
        return (
            f"Of the {detector + scorer} errors, {lost}. Neither stage stands out: the 95 % interval {told}, holds 0."
        )
    more = "detector" if low > 0 else "scorer"
    return f"Of the {detector + scorer} errors, {lost}: the {more} is the stage to work on (95 % interval {told})."


def tiles(contents: Contents) -> list[tuple[str, str, str]]:
    """The few figures that stand beside the headline: name, value, remark."""
    found = []
    s, d = contents.stages, contents.detection
    if d:
        found.append(("AP50", f"{d['AP50']:.3f}", f"AP {d['AP']:.3f}, over every detection"))
        remark = f"at confidence {d['best_f1_confidence']:.2f}" if "best_f1_confidence" in d else ""
        found.append(("best F1", f"{d.get('best_f1', d['f1']):.3f}", remark))
    if s:
        alone = percent(_scorer_alone(s))
        found.append(("scorer alone", alone, "right where the target was offered" if s["ceiling"] else NEVER_OFFERED))
    if spent := time_per_image(contents.stage_times):
        found.append(("time an image", f"{spent['all']:.0f} ms", "all stages, warm, here"))
    return found


def percent(share: float | None) -> str:
    """A share as text; a dash for one of nothing."""
    return "–" if share is None else f"{100 * share:.1f} %"


def _scorer_alone(stages: dict[str, Any]) -> float | None:
    """None where no target was offered: the scorer was not asked."""
    return stages["scorer_given_target"] if stages["ceiling"] else None


def fates(contents: Contents) -> list[dict[str, Any]]:
    """The fates of all captions with their shares and addresses, right ones first."""
    counted = contents.stages.get("fates", {})
    whole = sum(counted.values()) or 1
    return [{"name": name, "slug": slug(name), "count": counted[name], "share": counted[name] / whole,
             "stage": FATES[name][0], "why": FATES[name][1],
             "link": link(fate=name)} for name in FATES if counted.get(name)]  # fmt: skip


def page(contents: Contents) -> str:
    """The report as one HTML page without any reference to the outside."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(_part)
    )
    environment.filters |= {"shown": shown, "percent": percent, "slug": slug, "breakable": _breakable}
    environment.globals |= {"svg": svg}
    script = _script()
    return environment.get_template("report.html.j2").render(
        c=contents,
        css=_part("report.css") + _part("explorer.css"),
        script=script,
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        records=script_json(contents.payload.records) if contents.payload else "",
        lead=lead(contents),
        scorer_alone=_scorer_alone(contents.stages) if contents.stages else None,
        tiles=tiles(contents),
        fates=fates(contents),
        headline=headline(contents),
        measures=measures(contents),
        sweep_rows=ranked_rows(contents.sweep, contents.sweep_by),
        sweep_columns=shown_columns(contents.sweep, contents.sweep_by) if contents.sweep else [],
        sweep_extras=set(SWEEP_EXTRAS),
        top_rows=TOP_ROWS,
        setting_link=lambda row: setting_link(row, contents.offers, answer="wrong"),
        made=time.strftime("%Y-%m-%d %H:%M"),
        commit=next((str(r.record.get("commit") or "")[:10] for r in reversed(contents.runs)), ""),
    )


def _breakable(name: str) -> Any:
    """A name that may go on in the next line after an underscore."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def _script() -> str:
    """The parts of the page's script as one block, whose names are nobody else's."""
    return '"use strict";\n{\n' + "".join(_part(f"{name}.js") for name in SCRIPTS) + "}\n"


def _part(name: str) -> str:
    return (files("eval.report") / "assets" / name).read_text(encoding="utf-8")


def plain_text(contents: Contents, has_charts: bool) -> str:
    """The report as Markdown: what the terminal prints stands above the first second-level heading."""
    parts = [f"# {contents.title}\n", *(f"{sentence}" for sentence in lead(contents)), "", _headline_table(contents)]
    if contents.stages:
        rows = [
            {"fate": f["name"], "stage": f["stage"], "captions": f["count"], "share": f["share"]}
            for f in fates(contents)
        ]
        parts += ["## Where the errors are made\n", markdown(rows, ["fate", "stage", "captions", "share"], 3)]
    parts += [_pairs_text(contents)] if contents.pairs else []
    if contents.grades:
        parts += ["## Noise\n", markdown(contents.grades, ["grade", "accuracy", "ci95_low", "ci95_high", "system"])]
    if contents.sweep:
        columns = shown_columns(contents.sweep, contents.sweep_by)
        ranked = ranked_rows(contents.sweep, contents.sweep_by)
        parts += [f"## Sweep: the best {min(TOP_ROWS, len(ranked))} of {len(ranked)}\n",
                  markdown(ranked[:TOP_ROWS], columns)]  # fmt: skip
    for by, rows in contents.breakdowns.items():
        if len(rows) > 1:
            parts += [f"## By {by}\n", markdown(rows[:20], [by, "captions", "accuracy", "ceiling"], 3)]
    rows = [
        {"command": r.command, "folder": str(r.path), "wall_s": round(r.wall_s), "figures": r.figures()}
        for r in contents.runs
    ]
    parts += ["## Runs\n", markdown(rows, ["command", "folder", "wall_s", "figures"])]
    if has_charts:
        parts += ["## Charts\n", *(f"![{c.title}](charts/{c.key}.png)" for c in contents.all_charts()), ""]
    return "\n".join([*parts, *(f"> {note}" for note in contents.notes)]).rstrip() + "\n"


def _headline_table(contents: Contents) -> str:
    m, s, d = contents.metrics, contents.stages, contents.detection
    rows: list[tuple[str, float | None, str]] = []
    if m:
        big = headline(contents)
        rows.append((big["label"], big["share"], "95 % interval {:.3f} to {:.3f}".format(*big["ci95"])))
        rows += [(row["figure"], row["value"], f"95 % interval {row['low']:.3f} to {row['high']:.3f}")
                 for row in measures(contents) if row["figure"] != "accuracy"]  # fmt: skip
    if s:
        rows.append(("chance", s["chance"], "a random candidate"))
        rows.append(("ceiling", s["ceiling"], "the best candidate by overlap"))
        remark = "where a good candidate is there" if s["ceiling"] else NEVER_OFFERED
        rows.append(("scorer alone", _scorer_alone(s), remark))
    if d:
        rows.append(("AP50", d["AP50"], "over every detection"))
        rows.append(("AP", d["AP"], "IoU 0.50 to 0.95"))
        rows.append(("F1", d["f1"], f"precision {d['precision']:.3f}, recall {d['recall']:.3f}"))
    columns = ["figure", "value", "remark"]
    return markdown([dict(zip(columns, row, strict=True)) for row in rows], columns)


def _pairs_text(contents: Contents) -> str:
    """The comparison as Markdown."""
    rows = [{"run": p["b"], "against": p["a"], "difference": p["difference"], "ci95_low": p["ci95"][0],
             "ci95_high": p["ci95"][1], **{name: p["counts"][name]["count"] for name in p["counts"]},
             "p_holm": p["p_holm"], "verdict": p["verdict"]} for p in contents.pairs]  # fmt: skip
    return "## Compared\n\n" + markdown(rows, list(rows[0]))
