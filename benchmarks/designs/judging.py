"""Every step's answers by replay of what was exported, its settings chosen on the tuning scenes, and the comparison."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.designs.plan import (
    ASKED,
    ENLARGED,
    GOAL,
    GOAL_HIGH,
    PUBLISHED_CUTS,
    STEPS,
    TUNED_BY,
    UPSCALER,
    Step,
)
from benchmarks.designs.work import Work
from core.cuts import CutConfig, combinations
from core.store import CandidateStore
from data.captions import read_annotations
from eval.statistics import Resamples, paired_difference
from eval.sweep import best_row
from eval.sweep.points import Sweeper, SystemPoint
from eval.sweep.replay import Replay
from eval.sweep.settings import SweepConfig

Hits = NDArray[np.bool_]


@dataclass
class Judge:
    """Replays of every graded copy, and what has been chosen on the tuning ones."""

    work: Work
    cuts: dict[tuple[str, int], CutConfig] = field(default_factory=dict)  # by what they are tuned for, and seed
    _sweepers: dict[tuple[str, str], Sweeper] = field(default_factory=dict)

    def sweeper(self, part: str, grade: str) -> Sweeper:
        """A replay of one graded copy."""
        if (part, grade) not in self._sweepers:
            truth = read_annotations(self.work.folder / f"{part}.jsonl")
            store = CandidateStore(self.work.folder / "store" / f"{part}_{grade}")
            self._sweepers[part, grade] = Sweeper(Replay(store, truth))
        return self._sweepers[part, grade]

    def point(
        self, step: Step, part: str, grade: str, seed: int, cut: CutConfig, asked: str | None = None
    ) -> SystemPoint:
        """A step's system on one graded copy at a cut."""
        names = part, grade, asked or step.asked, seed
        detector, scorer = self.work.key(*names, "detector"), self.work.key(*names, "embeddings")
        vote = self.work.plan.vote_iou if step.vote else None
        return SystemPoint("*", replace(cut, vote_iou=vote), detector, scorer, step.choosing)

    def cut(self, step: Step, seed: int) -> CutConfig:
        """The cuts of a step: the published, or the best over all tuning copies together for whom they are tuned."""
        if step.cuts is None:
            return PUBLISHED_CUTS
        if (step.cuts, seed) not in self.cuts:
            tuned = replace(STEPS[step.cuts], asked=TUNED_BY[step.cuts])
            tried = combinations(SweepConfig(**self.work.plan.lists), CutConfig())
            rows = []
            for cut in tried:
                found = [self.sweeper("tune", grade).figures(self.point(tuned, "tune", grade, seed, cut))
                         for grade in self.work.plan.tune_grades]  # fmt: skip
                rows.append({name: fmean(row[name] for row in found) for name in ("accuracy", "f1")} | {"cut": cut})
            self.cuts[step.cuts, seed] = best_row(rows)["cut"]
        return self.cuts[step.cuts, seed]

    def hits(self, step: Step, seed: int, asked: str | None = None) -> tuple[list[Hits], list[float]]:
        """Whether each caption of each grade is answered rightly, and the share of captions with a right candidate."""
        answers = [
            self.sweeper("val", grade).answers(
                self.point(step, "val", grade, seed, self.cut(step, seed), asked)
            )
            for grade in self.work.plan.grades
        ]  # fmt: skip
        return [a.counts.hit for a in answers], [float(a.reachable.mean()) for a in answers]

    def images(self) -> list[str]:
        """The image of each caption of one seed's hits."""
        captions = [entry.image for entry in self.sweeper("val", self.work.plan.grades[0]).replay.truth
                    for _ in entry.annotations]  # fmt: skip
        return captions * len(self.work.plan.grades)


def error_ratio(a: Hits, b: Hits, images: Sequence[str]) -> list[float]:
    """Errors of b over errors of a, with a 95 % interval that resamples images."""
    wrong_a, wrong_b = (~hit[:, None].astype(bool) for hit in (a, b))
    low, high = Resamples(images).intervals(wrong_b.astype(float), wrong_a.astype(float))[0]
    return [float(wrong_b.sum() / wrong_a.sum()), low, high]


def judged(judge: Judge, names: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """Accuracy of some of the steps with some seeds, what each gave over the one before and the published design."""
    plan = judge.work.plan
    hits: dict[str, Hits] = {}
    rows: list[dict[str, Any]] = []
    images = judge.images() * len(seeds)
    first, before = names[0], names[0]
    for name, step in ((name, STEPS[name]) for name in names):
        found = [judge.hits(step, seed) for seed in seeds]
        hits[name] = np.concatenate([part for parts, _ in found for part in parts]).astype(bool)
        row: dict[str, Any] = {"step": name, "accuracy": float(hits[name].mean()), "errors": int((~hits[name]).sum()),
                               "ceiling": fmean(fmean(ceilings) for _, ceilings in found)}  # fmt: skip
        for key, other in (("over_previous", before), ("over_published", first)):
            change = paired_difference(hits[other], hits[name], images)
            row[key] = {"difference": change.difference, "ci95": list(change.ci95), "mcnemar_p": change.p_value}
        row["error_ratio"] = error_ratio(hits[first], hits[name], images)
        row["grades"] = {grade: [float(parts[place].mean()) for parts, _ in found]
                         for place, grade in enumerate(plan.grades)}  # fmt: skip
        row["ceilings"] = {grade: [ceilings[place] for _, ceilings in found] for place, grade in enumerate(plan.grades)}
        rows.append(row)
        before = name
    return {"steps": rows, "not_run": [name for name in STEPS if name not in names],
            "seeds": list(seeds), "answers": len(images), "images": len(set(images)),
            "settings": {f"{name}, seed {seed}": {"confidence": cut.confidence, "nms_iou": cut.nms_iou}
                         for (name, seed), cut in judge.cuts.items()}}  # fmt: skip


def judged_enlarged(judge: Judge) -> dict[str, Any]:
    """The first and the last step with enlarged crops, beside the same steps without, of the same seeds."""
    plan, ends = judge.work.plan, (next(iter(STEPS)), list(STEPS)[-1])
    hits: dict[str, Hits] = {}
    for name in ends:
        step, found = STEPS[name], []
        for seed in plan.enlarged_seeds:
            cut = replace(judge.cut(step, seed), vote_iou=plan.vote_iou if step.vote else None)
            judge.work.export_enlarged(ASKED[step.asked], name, seed, cut)
            found.append((judge.hits(step, seed)[0], judge.hits(step, seed, f"{name}-{ENLARGED}")[0]))
        hits[name], hits[f"{name} {ENLARGED}"] = (np.concatenate([part for pair in found for part in pair[place]])
                                                  .astype(bool) for place in (0, 1))  # fmt: skip
    images = judge.images() * len(plan.enlarged_seeds)
    first, last = ends
    rows = [{"step": f"{name} {ENLARGED}", "accuracy": float(hits[f"{name} {ENLARGED}"].mean()),
             "accuracy_plain": float(hits[name].mean()),
             "over_itself_plain": error_ratio(hits[name], hits[f"{name} {ENLARGED}"], images),
             "error_ratio": error_ratio(hits[first], hits[f"{name} {ENLARGED}"], images)} for name in ends]  # fmt: skip
    return {"enlarged": {"upscaler": UPSCALER, "seeds": list(plan.enlarged_seeds), "rows": rows,
                         "ours_over_published": error_ratio(hits[f"{first} {ENLARGED}"], hits[f"{last} {ENLARGED}"],
                                                            images)}}  # fmt: skip


def compute(work: Work, seeds: Sequence[int]) -> dict[str, Any]:
    """Processor seconds of both designs' detectors and chosen scorers over some seeds, and their ratio."""
    costs, spent = work.costs(), {}
    for design, scorer in (("published", "published"), ("ours", "small")):
        runs = [f"detector/{design}_{seed}" for seed in seeds]
        runs += [work.run_of(scorer, seed, work.rate(scorer)) for seed in seeds]
        spent[design] = sum(costs[run] for run in runs)
    return {"cpu_s": costs, "spent": spent | {"ours_over_published": spent["ours"] / spent["published"]}}


def is_met(steps: Sequence[dict[str, Any]]) -> bool:
    """Whether the last step makes at most GOAL of the first one's errors, its interval's upper end below GOAL_HIGH."""
    ratio, _, high = steps[-1]["error_ratio"]
    return bool(ratio <= GOAL and high < GOAL_HIGH)


def about(work: Work) -> dict[str, Any]:
    """What was compared, in the words of the plan."""
    plan = work.plan
    return {
        "date": time.strftime("%Y-%m-%d"), "steps_now": list(STEPS), "grades": list(plan.grades),
        "scale": plan.scale, "size": list(plan.size),
        "goal": {"error_ratio": GOAL, "high": GOAL_HIGH}, "ranked": work.ranked,
        "training": {"images": plan.num_train, "scorers": {name: list(words) for name, words in plan.scorers.items()},
                     "rates": list(plan.rates), "stages": dict(plan.stages)},
        "tuning": {"images": plan.num_tune, "grades": list(plan.tune_grades)},
    }  # fmt: skip
