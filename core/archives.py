"""Zip archives of tensors: their checksums, which torch itself does not compare."""

import zipfile
from pathlib import Path

from core.errors import InputError

_DOS_FOLDER = 0x10  # of a zip entry's external attributes


def check_archive(path: Path) -> None:
    """Compare the checksums of a zip archive; files from before torch 1.6 are none, and have none.

    Raises InputError for one that is damaged.
    """
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            broken = first_damaged(archive)
    except Exception as error:  # a damaged directory raises anything from BadZipFile to UnicodeDecodeError
        raise InputError(f"{path}: damaged: {error}") from error
    if broken is not None:
        raise InputError(f"{path}: damaged: the checksum or description of {broken} differs")


def first_damaged(archive: zipfile.ZipFile) -> str | None:
    """The first entry that is not what the directory says of it, or that torch would read otherwise than Python.

    Where an entry is marked as a folder or its two sizes differ, torch leaves the tensor's memory as it found it, with
    whatever it held before; the checksum that Python compares is right all the same.
    """
    for entry in archive.infolist():
        stored_whole = entry.compress_type != zipfile.ZIP_STORED or entry.file_size == entry.compress_size
        if not stored_whole or entry.external_attr & _DOS_FOLDER:
            return entry.filename
    return archive.testzip()
