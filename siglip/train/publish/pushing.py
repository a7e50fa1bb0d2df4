"""Checkpoint folders on the Hugging Face hub: which base model a card may name, and the upload itself."""

import sys
from pathlib import Path

from core.errors import reason
from core.files import read_json
from siglip.model import SETTINGS_FILE


def hub_base(weights: str | None) -> str | None:
    """The hub name that a training's weights descend from: `weights` itself, or what the folder of that name remembers.

    None when they descend from no hub model. The hub refuses cards whose base model is a path.
    """
    if weights is None:
        return None
    folder = Path(weights)
    if not folder.is_dir():
        return weights
    path = folder / SETTINGS_FILE
    base = read_json(path).get("base") if path.is_file() else None
    return None if base is None else str(base)


def push(folder: Path, name: str) -> None:
    """Upload a folder as a model repository; without a network or a key the run is finished all the same."""
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        whole_name = api.create_repo(name, exist_ok=True).repo_id  # with its owner, where `name` leaves that out
        api.upload_folder(repo_id=whole_name, folder_path=folder, commit_message=f"{folder.name} of siglip.train")
        print(f"push_to_hub: {folder} is at {api.endpoint}/{whole_name}", flush=True)
    except Exception as error:  # whatever the hub or the network says, the checkpoint is on disk
        print(f"push_to_hub: {name} was not pushed: {reason(error)}; push {folder} by hand", file=sys.stderr)
