"""No contact nobody asked for: an audit hook in every process of the commands counts what leaves the machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Python runs this in every process that has its folder on PYTHONPATH, children and loaders' workers included.
HOOK = """
import ipaddress, os, sys
def is_here(host):
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    try:
        return host in (None, "", "localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
def note(event, words):
    if event == "socket.connect":
        place = words[1]
        if isinstance(place, tuple) and not is_here(place[0]):
            tell(event, place)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        if not is_here(words[0]):
            tell(event, words[:2])
def tell(*what):
    line = repr((sys.argv[:2], *what)) + chr(10)
    descriptor = os.open(os.environ["CONTACTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)
sys.addaudithook(note)
"""

# Runs a command where nothing but loopback is, and prints how many packets had no way out: those of the wandb client's
# Go program and of C++ sockets too, which Python's hook cannot see (RFC 4293, ipSystemStatsOutNoRoutes).
ALONE = """
import fcntl, socket, struct, subprocess, sys
from pathlib import Path
device, up = b"lo", 0x1
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", device, up))  # SIOCSIFFLAGS
def lost():
    head, counts = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:"))
    six = dict(line.split() for line in Path("/proc/net/snmp6").read_text().splitlines())
    return int(dict(zip(head, counts))["OutNoRoutes"]) + int(six["Ip6OutNoRoutes"])
before = lost()
status = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
print(status, lost() - before)
"""


@pytest.fixture
def hooked(tmp_path):
    """(environment of a fresh user whose every Python process tells what it reaches for, the file it tells it in)."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(HOOK)
    told = tmp_path / "contacts.txt"
    told.write_text("")
    spared = {k: v for k, v in os.environ.items()
              if not k.startswith(("WANDB_", "HF_", "YOLO_", "NO_ALBUMENTATIONS", "ULTRALYTICS"))}  # fmt: skip
    return {**spared, "PYTHONPATH": f"{tmp_path}/hook", "CONTACTS": str(told), "HOME": str(tmp_path),
            "OMP_NUM_THREADS": "1"}, told  # fmt: skip


@pytest.fixture
def contacts(hooked):
    """`contacts(words...)`: what the processes of a command line reached for, as a fresh user without any setting."""
    environment, told = hooked

    def ask(*words):
        """The lines of what left."""
        told.write_text("")
        done = subprocess.run([sys.executable, *map(str, words)], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return told.read_text().splitlines()

    return ask


def test_the_hook_sees_what_leaves(contacts):
    assert contacts("-c", "import socket; socket.socket().connect_ex(('127.0.0.1', 9))") == []
    outward = "import socket\ntry: socket.getaddrinfo('example.invalid', 80)\nexcept OSError: pass"
    assert len(contacts("-c", outward)) == 1


@pytest.mark.parametrize(
    "module", ["data.augment", "detector.environment", "detector.build", "siglip.train", "pipeline.system", "wandb"]
)
def test_importing_asks_nobody(contacts, module):
    assert contacts("-c", f"import importlib; importlib.import_module({module!r})") == []


def test_a_detectors_training_fetches_no_font(contacts):
    """Ultralytics would ask github.com for one where none lies in its folder below a fresh user's home."""
    code = "import detector.environment, ultralytics.data.utils as u, ultralytics.utils.plotting as p;" \
           "assert u.check_font('Arial.ttf') is None and p.check_font() is None"  # fmt: skip
    assert contacts("-c", code) == []


def test_the_commands_ask_nobody(contacts, system, export_words, tmp_path):
    """The demo's own steps on the tiny system, tracking kept offline as nobody has a key."""
    truth, images, exported = system / "scenes/annotations.jsonl", system / "scenes/images", tmp_path / "exported"
    words = [word for word in export_words if not word.startswith("tracking")]
    assert contacts("-m", "pipeline.export", *words, f"run_dir={exported}") == []
    assert list(exported.glob("wandb/offline-run-*"))
    for command in (
        ["data.check", f"annotations={truth}", f"images={images}"],
        ["detector.recipes", "recipe=v3", f"image={images}/image_0.jpg"],
        ["eval.grounding", f"truth={truth}", f"predictions={exported}/predictions.jsonl"],
        ["eval.coco", f"truth={truth}", f"detections={exported}/detections.json"],
        ["eval.report", f"run={exported}"],
    ):
        assert contacts("-m", *command, f"run_dir={tmp_path}/{command[0]}") == [], command


@pytest.fixture
def alone(hooked, tmp_path):
    """`alone(words...)`: (packets without a way out, what Python reached for) in a network of its own."""
    inside = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", ALONE]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("not run: this machine lets nobody make a network namespace (unshare --user --net)")
    environment, told = hooked

    def ask(*words):
        words = [*inside, sys.executable, *map(str, words)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, cwd=tmp_path)
        status, lost = map(int, done.stdout.split())
        assert status == 0, done.stderr[-2000:]
        return lost, told.read_text().splitlines()

    return ask


def test_a_packet_without_a_way_out_is_counted(alone):
    assert alone("-c", "pass") == (0, [])
    lost, told = alone("-c", "import socket; socket.socket().connect_ex(('192.0.2.1', 80))")
    assert (lost, len(told)) == (1, 1)


def test_an_export_sends_no_packet(alone, export_words, tmp_path):
    """The W&B client's own program included, which runs offline as nobody has a key."""
    words = [word for word in export_words if not word.startswith("tracking")]
    assert alone("-m", "pipeline.export", *words, f"run_dir={tmp_path}/exported") == (0, [])
    assert list((tmp_path / "exported").glob("wandb/offline-run-*"))


@pytest.mark.faults
def test_the_demo_asks_nobody(alone, tmp_path, count):
    """Once as a whole, with --full; it takes minutes."""
    if count(short=False, full=True):
        assert alone(ROOT / "scripts/chain.py", "size=demo", f"run_dir={tmp_path}/demo") == (0, [])
