import os
import subprocess
import sys
import textwrap

import pytest

from core.errors import InputError
from core.files import open_atomic, read_json, read_jsonl, sha256_bytes, sha256_file, write_json, write_text
from core.manifest import latest_verified, verify_manifest, write_manifest


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), open_atomic(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path):
    """RLIMIT_FSIZE refuses the write as a full disk would, with an OSError in the middle of it."""
    write_text(tmp_path / "a.txt", "old")
    code = """
        import resource, signal, sys
        from core.errors import InputError
        from core.files import write_bytes
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_bytes("a.txt", bytes(100_000))
        except InputError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("a.txt: cannot be written")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_that_refuses_is_named():
    with pytest.raises(InputError, match="/proc/nothing/x.json: cannot be written"):
        write_json("/proc/nothing/x.json", {})


def test_broken_json_names_file_and_line(tmp_path):
    (tmp_path / "a.json").write_text('{"x": 1,\n oops}')
    with pytest.raises(InputError, match=r"a.json line 2: not valid JSON"):
        read_json(tmp_path / "a.json")
    (tmp_path / "b.jsonl").write_text('{"x": 1}\n\n{"x": \n')
    with pytest.raises(InputError, match=r"b.jsonl line 3: not valid JSON"):
        list(read_jsonl(tmp_path / "b.jsonl"))
    (tmp_path / "c.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="nested too deeply"):
        read_json(tmp_path / "c.json")
    (tmp_path / "d.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read_json(tmp_path / "d.json")


def test_json_that_python_would_read_otherwise_than_written_is_refused(tmp_path):
    for text, message in (('{"x": 1, "y": 2, "x": 3}', "an object has the key 'x' twice"),
                          ('{"x": ' + "9" * 5000 + "}", "not valid JSON: Exceeds the limit")):  # fmt: skip
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read_json(tmp_path / "a.json")
        with pytest.raises(InputError, match=f"a.json line 1: .*{message}"):
            list(read_jsonl(tmp_path / "a.json"))


def test_a_byte_order_mark_is_passed_over(tmp_path):
    (tmp_path / "a.json").write_text('{"x": 1}\n', encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json") == {"x": 1}
    assert list(read_jsonl(tmp_path / "a.json")) == [(1, {"x": 1})]


def test_digests_agree(tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    assert sha256_file(tmp_path / "a") == sha256_bytes(data)


def test_manifest_finds_every_changed_byte(tmp_path):
    folder = tmp_path / "checkpoint"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(bytes(range(64)))
    (folder / "deep" / "state.bin").write_bytes(b"state")
    write_manifest(folder)
    verify_manifest(folder)
    for position in range(64):
        data = bytearray(range(64))
        data[position] ^= 1
        (folder / "weights.bin").write_bytes(data)
        with pytest.raises(InputError, match="weights.bin: its content differs"):
            verify_manifest(folder)
    (folder / "weights.bin").unlink()
    with pytest.raises(InputError, match="weights.bin: missing"):
        verify_manifest(folder)


def test_the_last_whole_checkpoint_is_taken(tmp_path):
    folders = [tmp_path / str(i) for i in range(3)]
    for folder in folders:
        folder.mkdir()
        (folder / "w").write_bytes(b"w")
        if folder != folders[2]:
            write_manifest(folder)
    assert latest_verified(folders)[0] == folders[1]
    (folders[1] / "w").write_bytes(b"x")
    found, complaints = latest_verified(folders)
    assert found == folders[0]
    assert len(complaints) == 2
