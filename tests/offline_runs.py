"""What a run told Weights & Biases, read back from the files of its offline runs, the client's own transaction logs."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7  # of W&B's file: blocks of chunks, each with checksum, length and type, as LevelDB's log


def records(path: Path) -> Iterator[bytes]:
    """The records of a `.wandb` file."""
    data, place, record = path.read_bytes(), HEADER, b""
    assert data[:4] == b":W&B"
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        record += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in {1, 4}:  # whole, or the last piece
            yield record
            record = b""


def told(path: Path) -> dict[str, Any]:
    """Id, project, history (by name its last value, and every row), summary, settings, artifacts, media of one file."""
    from wandb.proto import wandb_internal_pb2 as protocol

    found: dict[str, Any] = {"history": {}, "rows": [], "summary": {}, "settings": {}, "artifacts": {}}
    for data in records(path):
        record = protocol.Record()
        record.ParseFromString(data)
        if record.HasField("run"):
            found["id"], found["project"] = record.run.run_id, record.run.project
            found["settings"] |= {i.key: json.loads(i.value_json) for i in record.run.config.update}
        elif record.HasField("history"):
            row = _named(record.history.item)
            found["history"] |= row
            found["rows"].append(row)
        elif record.HasField("summary"):
            found["summary"] |= _named(record.summary.update)
        elif record.HasField("request") and record.request.HasField("log_artifact"):
            artifact = record.request.log_artifact.artifact
            found["artifacts"][artifact.name] = artifact.type
        elif record.HasField("artifact"):
            found["artifacts"][record.artifact.name] = record.artifact.type
    found["media"] = sorted(p.name for p in path.parent.rglob("files/media/**/*") if p.is_file())
    return found


def _named(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def offline_files(folder: Path) -> list[Path]:
    """The files of all offline runs that lie in a run folder, the earlier first."""
    return sorted(folder.glob("wandb/offline-run-*/*.wandb"))
