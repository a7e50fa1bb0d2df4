"""What a row of the GPU check says, and the table of all."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Line:
    """One line of the table; `ratio` is how many times faster ours is, or a share that agrees."""

    row: str
    ours: str = ""
    peer: str = ""
    ratio: float | None = None
    goal: float | None = None
    note: str = ""
    failed: bool = False

    @property
    def missed(self) -> bool:
        """Whether this line makes the check's status 1."""
        return self.failed or (self.ratio is not None and self.goal is not None and not self.ratio >= self.goal)


def as_json(lines: Sequence[Line]) -> str:
    """Lines as a child process hands them to its parent."""
    return json.dumps([asdict(line) for line in lines])


def table(lines: Sequence[Line]) -> str:
    """A Markdown table."""
    cells = [("row", "ours", "peer", "ratio", "goal", "")]
    for line in lines:
        ratio = "" if line.ratio is None else f"{line.ratio:.3g}"
        goal = "" if line.goal is None else f"{line.goal:g}"
        note = line.note or ("missed" if line.missed else "")
        cells.append((line.row, line.ours, line.peer, ratio, goal, note))
    cells.insert(1, ("---",) * len(cells[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)
