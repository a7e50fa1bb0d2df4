"""The one rule for a training's exact states: whole or not there at all, the newest two kept, the newest good one read.

    state/NAME_0000040/...              what the trainer wrote
    state/NAME_0000040/manifest.json    written last

Random state needs no place in them: what follows is seeded by its number.
"""

import shutil
from pathlib import Path

from core.errors import InputError
from core.manifest import latest_verified, write_manifest

KEPT = 2  # complete states on disk; the older one serves if the newer is damaged
PARTIAL = ".partial"  # what an unfinished state's name ends in


class States:
    """The numbered states under one folder."""

    def __init__(self, path: Path, prefix: str, digits: int) -> None:
        self.path, self._prefix, self._digits = path, prefix, digits

    def target(self, number: int) -> Path:
        """The folder of the state of that number, there or not."""
        return self.path / f"{self._prefix}_{number:0{self._digits}d}"

    def partial(self, number: int) -> Path:
        """An empty folder to write the state into; what an earlier kill left in it is gone."""
        folder = self.target(number).with_suffix(PARTIAL)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def complete(self, number: int) -> None:
        """Make the partial state one that counts, then let go of the oldest; a kill loses no other state."""
        folder, target = self.target(number).with_suffix(PARTIAL), self.target(number)
        write_manifest(folder)
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
        for old in self.folders()[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self, tell: bool = True) -> Path | None:
        """The newest state that verifies; None when there was never one. `tell`: print what was passed over.

        Raises InputError when there are states but each is damaged, so that work is never silently begun anew.
        """
        folders = self.folders()
        found, complaints = latest_verified(folders)
        for complaint in complaints if tell else ():
            print(f"passed over a damaged state: {complaint}", flush=True)
        if found is None and folders:
            raise InputError(f"{self.path}: no state verifies ({complaints[0]}); remove the folder to start anew")
        return found

    def clear_after(self, found: Path) -> None:
        """Remove what is newer than the state that training goes on from, unfinished states among it."""
        for rest in (*(f for f in self.folders() if f.name > found.name), *self.path.glob(f"*{PARTIAL}")):
            shutil.rmtree(rest, ignore_errors=True)

    def folders(self) -> list[Path]:
        """The complete states, oldest first."""
        return sorted(p for p in self.path.glob(f"{self._prefix}_*") if p.is_dir() and p.suffix != PARTIAL)
