"""Our own rules: a box matches at an IoU strictly above one half, one to one; every false box counts.

Every figure of `eval.answers.measures`. The quirk is the strict comparison: the published competition rounded the IoU,
and round(0.5) is 0. An empty answer is right where the caption describes nothing; no answer at all is a miss.
"""

from collections.abc import Sequence

from eval.answers.measures import FIGURES, counts_of, plain_figures
from eval.answers.outcomes import Outcome

BESIDE = {name: name for name in FIGURES}


def judge(outcomes: Sequence[Outcome], least_score: float | None = None) -> dict[str, float | None]:
    """Every figure; no box is cut by its score."""
    return plain_figures(counts_of(outcomes))
