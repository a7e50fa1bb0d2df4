"""Where a box's captions come from: a caption of its own, one of its attributes, or the name of its category."""

from collections.abc import Mapping, Sequence

from core.errors import InputError
from data.formats.taken import Taken

# Attributes that hold captions in label tools, where nobody says which one does; letters of any case.
ATTRIBUTES = ("caption", "description", "expression", "referring_expression", "sentence", "phrase", "text")
ATTRIBUTE = "attributes."
CAPTION = "caption"  # the attribute that we write
STATE = ("occluded", "rotation", "track_id", "keyframe")  # what CVAT notes of every shape: no captions


def check_captions(wanted: str) -> None:
    """InputError for a setting `captions` of no known form."""
    named = wanted.startswith(ATTRIBUTE) and len(wanted) > len(ATTRIBUTE)
    if wanted not in {"auto", "caption", "category"} and not named:
        raise InputError(f"captions: {wanted!r} is not auto, caption, category or {ATTRIBUTE}NAME")


def captions_of(
    wanted: str,
    captions: Sequence[str],
    attributes: Mapping[str, str],
    category: str | None,
    where: str,
    taken: Taken,
) -> list[str]:
    """The captions of a box by the setting `captions`; none, and a fault of `where`, when there is nothing to take.

    By `auto` its own captions go first, then an attribute of a usual name, then its category; attributes that are not
    used are noted.
    """
    said = [caption for caption in captions if caption.strip()]
    usual = next((name for name in attributes if name.lower() in ATTRIBUTES and attributes[name].strip()), None)
    named = wanted.removeprefix(ATTRIBUTE) if wanted.startswith(ATTRIBUTE) else usual if wanted == "auto" else None
    if wanted in {"auto", "caption"} and said:
        origin, found = "caption", said
    elif named is not None and attributes.get(named, "").strip():
        origin, found = ATTRIBUTE + named, [attributes[named]]
    elif wanted in {"auto", "category"} and category is not None and category.strip():
        origin, found = "category", [category]
        told = (
            [name for name, text in attributes.items() if text.strip() and name not in STATE]
            if wanted == "auto"
            else []
        )
        if told:
            names = ", ".join(sorted(told)[:5])
            taken.note(f"boxes have attributes that are not captions ({names}); captions=attributes.NAME takes one")
    else:
        what = {"auto": "a caption, an attribute of a usual name or a named category", "caption": "a caption",
                "category": "a named category"}.get(wanted, f"a text in {wanted}")  # fmt: skip
        taken.faults.append(f"{where}: has not {what}")
        return []
    for _ in found:
        taken.from_where(origin)
    return list(dict.fromkeys(found))


def texts(values: object) -> dict[str, str]:
    """The attributes of a mapping as texts; yes, no and numbers are texts too, anything else is no attribute."""
    if not isinstance(values, Mapping):
        return {}
    plain = {str(name): value for name, value in values.items() if isinstance(value, str | int | float)}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in plain.items()}
