"""A report's contents as one HTML page, as Markdown and as JSON."""

import time
from collections import Counter
from importlib.resources import files
from typing import Any

from core.counting import count
from eval.attribution import FATES, slug
from eval.charts.svg import svg
from eval.report.contents import Contents
from eval.speed import time_per_image
from eval.sweep import FIGURES, SETTINGS
from eval.tables import markdown, shown, varying

TOP_ROWS = 12  # of the sweep, before the fold
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
        "systems": contents.systems,
        "breakdowns": contents.breakdowns,
        "runs": [{"command": r.command, "folder": str(r.path), "started": r.started, "wall_s": r.wall_s,
                  "metrics": r.metrics} for r in contents.runs],
        "notes": contents.notes,
    }  # fmt: skip


def lead(contents: Contents) -> list[str]:
    """The headline as sentences."""
    m, s, d = contents.metrics, contents.stages, contents.detection
    sentences = []
    if m:
        low, high = (100 * v for v in m["ci95"])
        missing = f" {count(m['num_missing'], 'caption')} got no box, counted as wrong." if m["num_missing"] else ""
        share = f"{100 * m['accuracy']:.1f} % (95 % interval {low:.1f} to {high:.1f}, by image)"
        hits = f"Of {count(m['num_captions'], 'caption')}, {m['num_hits']} were answered with the right box"
        sentences.append(f"{hits}: {share}.{missing}")
    if s:
        sentences.append(f"A random candidate would be right {100 * s['chance']:.1f} % of the time; with these "
                         f"candidates no scorer could exceed {100 * s['ceiling']:.1f} %.")  # fmt: skip
        sentences.append(_blame(s))
    elif d:
        sentences.append(f"The detector reaches AP50 {d['AP50']:.3f} and AP {d['AP']:.3f}.")
    return sentences


def _blame(stages: dict[str, Any]) -> str:
    detector, scorer = stages["num_errors_detector"], stages["num_errors_scorer"]
    if not detector + scorer:
        return "There are no errors."
    more = "detector" if detector > scorer else "scorer"
    lost = f"{detector} were lost by the detector (no good candidate), {scorer} by the scorer (a good one was there)"
    return f"Of the {detector + scorer} errors, {lost}: the {more} is the stage to work on."


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
    """The fates of all captions with their shares, right ones first."""
    counted = contents.stages.get("fates", {})
    whole = sum(counted.values()) or 1
    return [{"name": name, "slug": slug(name), "count": counted[name], "share": counted[name] / whole,
             "stage": FATES[name][0], "why": FATES[name][1]} for name in FATES if counted.get(name)]  # fmt: skip


def choices(contents: Contents) -> dict[str, list[tuple[str, int]]]:
    """The gallery's filters: the values of each and how many failures carry them."""
    return {by: sorted(Counter(c[by] for c in contents.failures).items(), key=lambda v: (-v[1], v[0]))
            for by in ("fate", "kind", "colour", "size")}  # fmt: skip


def page(contents: Contents) -> str:
    """The report as one HTML page without any reference to the outside."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"shown": shown, "percent": percent, "slug": slug}
    environment.globals |= {"svg": svg}
    ranked = sorted(contents.sweep, key=lambda row: (-row["accuracy"], -row["f1"]))
    return environment.from_string(_part("report.html.j2")).render(
        c=contents,
        css=_part("report.css"),
        script=_part("report.js"),
        lead=lead(contents),
        scorer_alone=_scorer_alone(contents.stages) if contents.stages else None,
        tiles=tiles(contents),
        fates=fates(contents),
        choices=choices(contents),
        sweep_rows=ranked,
        sweep_columns=[*varying(contents.sweep, SETTINGS), *FIGURES] if contents.sweep else [],
        top_rows=TOP_ROWS,
        made=time.strftime("%Y-%m-%d %H:%M"),
        commit=next((str(r.record.get("commit") or "")[:10] for r in reversed(contents.runs)), ""),
    )


def _part(name: str) -> str:
    return (files("eval.report") / name).read_text(encoding="utf-8")


def plain_text(contents: Contents, has_charts: bool) -> str:
    """The report as Markdown: what the terminal prints stands above the first second-level heading."""
    parts = [f"# {contents.title}\n", *(f"{sentence}" for sentence in lead(contents)), "", _headline_table(contents)]
    if contents.stages:
        rows = [
            {"fate": f["name"], "stage": f["stage"], "captions": f["count"], "share": f["share"]}
            for f in fates(contents)
        ]
        parts += ["## Where the errors are made\n", markdown(rows, ["fate", "stage", "captions", "share"], 3)]
    if contents.sweep:
        columns = [*varying(contents.sweep, SETTINGS), *FIGURES]
        ranked = sorted(contents.sweep, key=lambda row: (-row["accuracy"], -row["f1"]))
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
        rows.append(("grounding accuracy", m["accuracy"], "95 % interval {:.3f} to {:.3f}".format(*m["ci95"])))
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
