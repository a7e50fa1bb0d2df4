"""The report of `data.check` as Markdown."""

from typing import Any

from data.check.findings import KINDS, Findings

SHOWN = 20


def markdown(parts: dict[str, dict[str, Any]], captions: dict[str, Any], findings: Findings) -> str:
    """The whole report: the parts, what was found by kind, and the balance of captions."""
    counts = {kind: number for kind, number in findings.counts().items() if number}
    wrong = findings.num_to_mend()
    head = f"{wrong} {'thing' if wrong == 1 else 'things'} to mend" if wrong else "nothing to mend"
    lines = [f"# Data check: {head}", "", *_part_table(parts), ""]
    if counts:
        lines += ["| found | number |", "| --- | ---: |"]
        lines += [f"| [{KINDS[kind]}](#{_anchor(KINDS[kind])}) | {number} |" for kind, number in counts.items()]
        lines.append("")
    for kind in counts:
        lines += _section(kind, findings.items[kind])
    for part, balance in captions.items():
        lines += _balance(part, balance)
    return "\n".join(lines).rstrip() + "\n"


def _anchor(title: str) -> str:
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def _part_table(parts: dict[str, dict[str, Any]]) -> list[str]:
    lines = ["| part | file | images | boxes | captions (one / several / no box) | image sizes |",
             "| --- | --- | ---: | ---: | ---: | --- |"]  # fmt: skip
    for part, facts in parts.items():
        sizes = ", ".join(f"{size} ({number})" for size, number in list(facts["sizes"].items())[:3]) or "not looked at"
        more = ", ..." if len(facts["sizes"]) > 3 else ""
        kinds = " / ".join(str(facts[f"captions_{kind}"]) for kind in ("one", "several", "none"))
        counts = f"{facts['images']} | {facts['boxes']} | {facts['captions']} ({kinds})"
        lines.append(f"| {part} | {facts['file']} | {counts} | {sizes}{more} |")
    return lines


def _section(kind: str, items: list[dict[str, Any]]) -> list[str]:
    lines = [f"## {KINDS[kind]}", ""]
    lines += [f"- {item['place']}: {_escaped(item['what'])}" for item in items[:SHOWN]]
    if len(items) > SHOWN:
        lines.append(f"- ... and {len(items) - SHOWN} more, all in `check.json` under `{kind}`")
    return [*lines, ""]


def _escaped(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _balance(part: str, balance: dict[str, Any]) -> list[str]:
    if not balance["captions"]:
        return [f"## Captions of {part}", "", "None.", ""]
    counts = list(balance["counts"].items())
    lines = [
        f"## Captions of {part}",
        "",
        f"{balance['boxes']} boxes with {balance['captions']} captions: {balance['fewest']} to {balance['most']} boxes "
        f"each (median {balance['median']:g}), as varied as {balance['effective']:.1f} equally frequent ones.",
        "",
        "| most frequent | boxes | least frequent | boxes |",
        "| --- | ---: | --- | ---: |",
    ]
    for (common, many), (rare, few) in zip(counts[:10], counts[::-1][:10], strict=False):
        lines.append(f"| {_escaped(common)} | {many} | {_escaped(rare)} | {few} |")
    return [*lines, ""]
