"""The container's entry command as an engine would run it, without an engine.

    unshare --mount --net python tests/pipeline/server/confined.py SETTINGS.json

In namespaces of its own: every file system read-only but a fresh /tmp, no network but the loopback, the image's user,
no capabilities, and of the environment only what the Dockerfile sets. Starts the command, asks /health and /identify,
tries what must fail, sends SIGTERM, and prints what it saw as JSON. What the server says goes to stderr.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HOLD = Path("/mnt")  # exists everywhere; covered by a tmpfs of this namespace alone


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    loopback_up()
    confine(settings["system"], settings["readable"])
    become(int(settings["user"]))
    words = [word.replace("/system", f"{HOLD}/system") for word in settings["command"]]
    server = subprocess.Popen(words, env=settings["environment"], cwd="/srv", stdout=sys.stderr)
    seen = {"uid": os.getuid(), "writable": writable(["/srv", "/", "/tmp", f"{HOLD}/system"])}
    try:
        wait_until_ready(server)
        seen["health"] = ask("/health")
        seen["predictions"] = ask("/identify", json.dumps(settings["question"]).encode())["predictions"]
        seen["network"] = reachable()
    finally:
        server.send_signal(signal.SIGTERM)
        seen["status"] = server.wait(60)
    print(json.dumps(seen))


def mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def confine(system: str, readable: list[str]) -> None:
    """Mount the system and a fresh /tmp, and make the rest read-only; `readable` folders stay reachable for the user.

    A folder below one that only its owner may enter is laid into an empty copy of that one, which all may enter.
    """
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", HOLD)
    places = {"system": system, **{f"held{n}": place for n, place in enumerate(readable)}}
    for name, place in places.items():
        (HOLD / name).mkdir()
        mount("--bind", place, HOLD / name)
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/tmp")
    for name, place in places.items():
        for closed in (p for p in reversed(Path(place).parents) if p.exists() and not p.stat().st_mode & 1):
            mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", closed)
        if not Path(place).exists():
            os.makedirs(place)
            mount("--bind", HOLD / name, place)
        mount("-o", "remount,bind,ro", HOLD / name)
    for place in (HOLD, "/"):
        mount("-o", "remount,bind,ro", place)


def loopback_up() -> None:
    """A new network namespace's loopback is down; IFF_UP is 1, SIOCSIFFLAGS 0x8914."""
    with socket.socket() as probe:
        fcntl.ioctl(probe, 0x8914, struct.pack("16sh", b"lo", 1))


def become(user: int) -> None:
    """The image's user, with no way back: PR_SET_NO_NEW_PRIVS is 38."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    if ctypes.CDLL(None).prctl(38, 1, 0, 0, 0):
        raise OSError("no-new-privileges cannot be set")


def writable(places: list[str]) -> list[str]:
    found = []
    for place in places:
        with contextlib.suppress(OSError):
            (Path(place) / "written").touch()
            found.append(place)
    return found


def reachable() -> bool:
    """Whether an address outside can be asked."""
    with contextlib.suppress(OSError), socket.create_connection(("192.0.2.1", 80), timeout=1):
        return True
    return False


def ask(route: str, body: bytes | None = None) -> dict[str, list[list[float]]]:
    with urllib.request.urlopen(f"http://127.0.0.1:5004{route}", body, timeout=60) as response:
        return json.load(response)


def wait_until_ready(server: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + 150
    while True:
        with contextlib.suppress(OSError):
            ask("/ready")
            return
        assert server.poll() is None, f"the server ended with status {server.returncode}"
        assert time.monotonic() < ends, "not ready"
        time.sleep(0.1)


if __name__ == "__main__":
    main()
