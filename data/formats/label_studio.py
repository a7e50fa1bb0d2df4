"""Label Studio: the JSON export, a list of tasks with their `annotations`, and JSON-MIN, a list with their results.

Boxes are in percent of the image. A box's captions are the text areas of its region, or, by attribute, any other
answer about it; else its labels. Polygons and ellipses stand for the box round them, turned boxes too. Of several
annotations of a task the one marked as ground truth counts, else the last that was not cancelled.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from core.listing import image_path, is_image
from core.values import Annotation, Box
from data.formats.cvat import turned
from data.formats.origins import captions_of
from data.formats.source import Source
from data.formats.taken import Gathering, Size, Taken, size_of, whole

ABOUT = "Label Studio: JSON, a list of tasks with 'data' and 'annotations', or JSON-MIN"
SHAPES = ("rectangle", "polygon", "ellipse")
UPLOAD = re.compile(r"^[0-9a-f]{8}-")  # what it puts before the name of an uploaded file
ABSENT = "absent"  # the text area whose captions describe nothing in their image
SETS = ("annotations", "completions")


def recognises(source: Source) -> bool:
    """Whether the first entry is a task with results."""
    rows = source.value if isinstance(source.value, list) else []
    return bool(rows) and (_is_task(rows[0]) or _minimal(rows[0]) is not None)


def read(source: Source) -> Taken:
    """Every task's image with its regions."""
    taken = Taken()
    gathering = Gathering(taken, source)
    for number, task in enumerate(source.value):
        where = f"{source.path} task {number + 1}"
        if not isinstance(task, dict):
            taken.faults.append(f"{where}: not an object")
            continue
        data = task.get("data") if _is_task(task) else task
        results = _results(task, taken) if _is_task(task) else _minimal(task)
        if results is None:
            taken.note(
                "tasks left out: nobody has labelled them" if _is_task(task) else "entries of another form left out"
            )
            continue
        address = _address(data if isinstance(data, dict) else {})
        name = None if address is None else _name(address, source.images)
        regions = _regions(results, taken)
        size = next((size for region in regions.values() if (size := _size(region))), None)
        image = gathering.image(name, f"{where}: field 'data'", size=size)
        for caption in _absent(results) if image is not None else []:
            if gathering.caption(caption, where):
                gathering.add(str(image), where, Annotation(caption, ()))
                taken.from_where(f"texts {ABSENT!r}")
        for key, region in regions.items():
            if image is None:
                taken.note("boxes left out with their images")
            else:
                _add(gathering, image, region, f"{where}: field 'result {key}'", source, taken)
    taken.parts["annotations"] = gathering.images(str(source.path))
    return taken


def _absent(results: Sequence[dict[str, Any]]) -> list[str]:
    """The captions that describe nothing in their image, as our own files say it."""
    values = [result.get("value") for result in results if result.get("from_name") == ABSENT]
    return [text for value in values if isinstance(value, dict) for text in _texts(value.get("text"))]


def _is_task(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("data"), dict) and any(key in entry for key in SETS)


def _minimal(entry: Any) -> list[dict[str, Any]] | None:
    """The results of an entry of JSON-MIN, whose regions carry no `value`; None for an entry of anything else."""
    if not isinstance(entry, dict) or "data" in entry or not {"annotator", "annotation_id", "lead_time"} & entry.keys():
        return None
    found = []
    for key, values in entry.items():
        if isinstance(values, list) and all(isinstance(value, dict) for value in values):
            found += [{"from_name": key, "value": value, "type": _type_of(value), **_plain(value)} for value in values]
    return found


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value[key] for key in ("id", "original_width", "original_height", "image_rotation") if key in value}


def _type_of(value: Mapping[str, Any]) -> str:
    kinds = {"rectangle": "width", "polygon": "points", "ellipse": "radiusX"}
    return next((kind for kind, field in kinds.items() if field in value), "other")


def _results(task: dict[str, Any], taken: Taken) -> list[dict[str, Any]] | None:
    """The results of the annotation of a task that counts, None where there is none."""
    given: list[Any] = next((task[key] for key in SETS if isinstance(task.get(key), list)), [])
    said = [a for a in given if isinstance(a, dict) and not a.get("was_cancelled")]
    taken.note("cancelled annotations left out", len(given) - len(said))
    taken.note("further annotations of a task left out: one counts", max(0, len(said) - 1))
    if not said:
        taken.note("predictions left out: nobody has looked at them", len(task.get("predictions") or []))
        return None
    chosen = next((a for a in said if a.get("ground_truth")), said[-1])
    return [result for result in chosen.get("result") or [] if isinstance(result, dict)]


def _regions(results: Sequence[dict[str, Any]], taken: Taken) -> dict[str, list[dict[str, Any]]]:
    """The results about each region by its id, the one that draws it first; others are noted."""
    regions: dict[str, list[dict[str, Any]]] = {}
    for number, result in enumerate(results):
        kind = str(result.get("type"))
        if kind.startswith(SHAPES):
            key = str(result.get("id", number))
            if key in regions and _place(regions[key][0]) != _place(result):  # two shapes, though of one id
                key = f"{key} ({number})"
            regions.setdefault(key, []).insert(0, result)
        elif kind.startswith(("brush", "keypoint", "video", "relation")):
            taken.note(f"results left out: {kind} has no box")
    for result in results:
        if not str(result.get("type")).startswith((*SHAPES, "brush", "keypoint", "video", "relation")):
            region = regions.get(str(result.get("id")))
            if region is None and result.get("from_name") != ABSENT:
                taken.note("answers about whole images left out: no box goes with them")
            elif region is not None:
                region.append(result)
    return regions


def _place(result: dict[str, Any]) -> list[Any]:
    """Where a result is drawn, as it is written."""
    value = result.get("value")
    sides = ("x", "y", "width", "height", "points", "radiusX", "radiusY", "rotation")
    return [value.get(side) for side in sides] if isinstance(value, dict) else []


def _size(region: Sequence[dict[str, Any]]) -> Size | None:
    return size_of(region[0].get("original_width"), region[0].get("original_height"))


def _add(
    gathering: Gathering, image: str, region: Sequence[dict[str, Any]], where: str, source: Source, taken: Taken
) -> None:
    try:
        if _size(region) != gathering.size(image):
            raise ValueError(f"drawn on an image of another size than its task's others, {_size(region)}")
        taken.note("boxes drawn round polygons, ellipses or turned boxes", int(not _is_upright(region[0])))
        box = _pixels(region[0])
    except (TypeError, ValueError, KeyError) as error:
        taken.faults.append(f"{where}: is no region that can be read ({error})")
        return
    good = gathering.good([box], [where], gathering.size(image))
    if not good:
        return
    own, answers, labels = [], dict[str, str](), list[str]()
    for result in region:
        value = result.get("value")
        value = value if isinstance(value, dict) else {}
        own += _texts(value.get("text")) if result.get("type") == "textarea" else []
        chosen = [text for key in ("text", "choices") for text in _texts(value.get(key))]
        if chosen:
            answers[str(result.get("from_name"))] = chosen[0]
        labels += [text for key, texts in value.items() if key.endswith("labels") for text in _texts(texts)]
        own += _texts((result.get("meta") or {}).get("text")) if isinstance(result.get("meta"), dict) else []
    for category in [*labels] or [""]:
        for caption in captions_of(source.captions, own, answers, category, where, taken):
            if gathering.caption(caption, where):
                gathering.add(image, where, Annotation(caption, tuple(good)))
        if own and source.captions in {"auto", "caption"}:
            break  # the captions are the box's, however many labels it has


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str) and text.strip()]


def _is_upright(result: dict[str, Any]) -> bool:
    value = result.get("value")
    return isinstance(value, dict) and "width" in value and not value.get("rotation")


def _pixels(result: dict[str, Any]) -> Box:
    """A region's box in pixels; TypeError, ValueError or KeyError for what is none."""
    value, size = result["value"], size_of(result.get("original_width"), result.get("original_height"))
    if size is None:
        raise ValueError("no original_width and original_height")
    if result.get("image_rotation"):
        raise ValueError(f"image_rotation is {result['image_rotation']}; turn the image itself")
    width, height = size
    if "points" in value:
        xs, ys = zip(*((float(x) * width / 100, float(y) * height / 100) for x, y in value["points"]), strict=True)
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
    else:
        wide, high = ("radiusX", "radiusY") if "radiusX" in value else ("width", "height")
        x, y, w, h = (float(value[key]) * side / 100 for key, side in
                      (("x", width), ("y", height), (wide, width), (high, height)))  # fmt: skip
        corners = (x - w, y - h, x + w, y + h) if wide == "radiusX" else (x, y, x + w, y + h)
        pivot = None if wide == "radiusX" else (x, y)  # boxes turn about their upper left corner
        left, top, right, bottom = turned(corners, float(value.get("rotation") or 0), pivot)
    left, top, right, bottom = (whole(v) for v in (left, top, right, bottom))
    return left, top, whole(right - left), whole(bottom - top)


def _address(data: Mapping[str, Any]) -> str | None:
    """Where a task's image is said to be; of several texts the first that ends as images do."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    usual = [texts[key] for key in ("image", "img", "url") if key in texts]
    return next((text for text in [*usual, *texts.values()] if is_image(_path_of(text))), None)


def _path_of(address: str) -> str:
    """The path in an address: of a local file, an upload, a bucket or a web address."""
    parts = urlsplit(address) if "://" in address or address.startswith("/data/") else None
    if parts is None:
        return unquote(address) if "%" in address else address
    query = parse_qs(parts.query)
    path = query["d"][0] if "d" in query else unquote(parts.path)
    return re.sub(r"^/?data/upload/(\d+/)?", "", path).lstrip("/")


def _name(address: str, images: Path | None) -> str:
    """The image's name: its path, or, in a known folder, the longest end of it that is there.

    Uploads are looked for without the signs that Label Studio puts before their names too.
    """
    path = _path_of(address)
    if images is not None:
        pieces = path.split("/")
        ends = ["/".join(pieces[start:]) for start in range(len(pieces))]
        for end in [*ends, UPLOAD.sub("", pieces[-1])]:
            if end and image_path(images, end).is_file():
                return end
    return path
