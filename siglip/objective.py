"""What a scorer's checkpoint was trained to answer: whether a pair fits, or which of its known captions a crop has.

    objective.json    {"form": "sigmoid"} or {"form": "vocabulary", "captions": [...]}

A folder without the file was trained with the sigmoid loss, or by others.
"""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from core.errors import InputError
from core.files import read_json, write_json

OBJECTIVE = "objective.json"


class Form(Enum):
    """The loss of a training."""

    sigmoid = "sigmoid"
    vocabulary = "vocabulary"


def write_objective(folder: Path, form: Form, captions: Sequence[str] = ()) -> None:
    """Leave in a checkpoint's folder what it was trained to answer; captions: those of the vocabulary loss."""
    about: dict[str, object] = {"form": form.value}
    if form is Form.vocabulary:
        about["captions"] = list(dict.fromkeys(captions))
    write_json(folder / OBJECTIVE, about)


def read_known_captions(weights: str) -> list[str]:
    """The captions that a checkpoint was trained to tell apart; none of a sigmoid's, and of a hub's name.

    Raises InputError naming the file and the field for a damaged one.
    """
    path = Path(weights) / OBJECTIVE
    if not path.is_file():
        return []
    about = read_json(path)
    forms = [form.value for form in Form]
    if not isinstance(about, dict) or about.get("form") not in forms:
        raise InputError(f"{path}: field 'form': is none of {', '.join(forms)}")
    if about["form"] == Form.sigmoid.value:
        return []
    captions = about.get("captions")
    if not (isinstance(captions, list) and captions and all(isinstance(c, str) and c for c in captions)):
        raise InputError(f"{path}: field 'captions': must list the captions of the training")
    return list(dict.fromkeys(captions))
