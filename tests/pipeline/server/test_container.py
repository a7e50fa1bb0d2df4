"""The container's files: linted, complete, and each command's words; no engine runs here, so no image is built."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from hostile import b64

ROOT = Path(__file__).resolve().parents[3]
TOOLS = Path(sys.executable).parent
SCRIPT = ROOT / "scripts/container.sh"


def test_linters_find_nothing():
    scripts = [str(p) for p in (ROOT / "scripts").glob("*.sh")]
    for words in ([TOOLS / "hadolint", ROOT / "Dockerfile"], [TOOLS / "shellcheck", *scripts]):
        told = subprocess.run(words, capture_output=True, text=True)
        assert (told.returncode, told.stdout) == (0, "")


def instructions():
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line and not line.startswith("#")]
    return [line.split(None, 1) for line in lines]


def test_every_room_is_copied_and_reaches_the_engine():
    copied = {words.split()[0] for name, words in instructions() if name == "COPY" and "--from" not in words}
    rooms = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    assert {room.rstrip("*") for room in rooms["include"]} <= copied
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for place in copied | {"requirements-image.lock", "scripts/install_image.sh"}:
        assert (ROOT / place).exists(), place
        assert f"!{place}" in ignored or f"!{place.rstrip('/')}" in ignored or place == "scripts/", place


def test_it_runs_offline_without_root_and_its_entry_command_starts(tmp_path):
    final = dict(line for line in instructions() if line[0] in {"USER", "ENTRYPOINT", "EXPOSE", "STOPSIGNAL"})
    assert int(final["USER"]) > 0
    assert (final["EXPOSE"], final["STOPSIGNAL"]) == ("5004", "SIGTERM")
    environment = next(words for name, words in instructions() if name == "ENV" and "HF_HUB_OFFLINE" in words)
    assert {"HF_HUB_OFFLINE=1", "YOLO_OFFLINE=true", "YOLO_AUTOINSTALL=false"} <= set(environment.split())
    words = yaml.safe_load(final["ENTRYPOINT"])
    for variant in ("cpu", "cuda"):
        command = [sys.executable, *words[1:], f"device={variant}", "--cfg", "job"]
        told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
        settings = yaml.safe_load(told.stdout)
        assert (settings["pipeline"], settings["port"], settings["device"]) == ("/system", 5004, variant)


def confined(settings, tmp_path):
    """What tests/pipeline/server/confined.py saw of the entry command."""
    words = ["unshare", "--mount", "--net"]
    if os.getuid() or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("not run: needs root and namespaces; the entry command was not tried as the image's user")
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    words += [sys.executable, ROOT / "tests/pipeline/server/confined.py", tmp_path / "settings.json"]
    told = subprocess.run(words, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr[-3000:]
    return json.loads(told.stdout)


def test_the_entry_command_answers_as_the_images_user_on_read_only_files_without_a_network(exported, system, tmp_path):
    """The Dockerfile's own words and environment; only PATH and the place of /system are this machine's."""
    from core.records import read_predictions
    from pipeline.pack import main

    main([f"pipeline={exported}", f"run_dir={tmp_path}/packed"])
    final = dict(line for line in instructions() if line[0] in {"USER", "ENTRYPOINT"})
    server_stage = (words for name, words in instructions() if name == "ENV" and "HF_HUB_OFFLINE" in words)
    environment = dict(word.split("=", 1) for word in next(server_stage).split())
    told = next(iter(read_predictions(exported / "predictions.jsonl")))
    image = b64((system / "scenes/images" / told.image).read_bytes())
    captions = [p.caption for p in told.predictions]
    seen = confined({
        "system": f"{tmp_path}/packed/system",
        "readable": [str(ROOT), sys.base_prefix],
        "user": final["USER"],
        "command": [*yaml.safe_load(final["ENTRYPOINT"]), "device=cpu"],
        "environment": {**environment, "PATH": f"{TOOLS}:/usr/bin:/bin"},
        "question": {"instances": [{"caption": caption, "b64": image} for caption in captions]},
    }, tmp_path)  # fmt: skip
    boxes = seen.pop("predictions")
    assert seen == {"uid": int(final["USER"]), "writable": ["/tmp"], "health": {"message": "health ok"},
                    "network": False, "status": 0}  # fmt: skip
    for box, prediction in zip(boxes, told.predictions, strict=True):
        assert box == pytest.approx(prediction.box_ltwh, abs=1e-3)


def test_the_containers_lock_is_the_part_of_the_whole_lock_that_is_no_tool():
    pins = [
        set(re.findall(r"^[a-z0-9._-]+==\S+", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements-image.lock", "requirements.lock")
    ]
    assert pins[0] < pins[1]
    names = {pin.partition("==")[0] for pin in pins[0]}
    assert {"torch", "torchvision", "uvloop", "httptools", "fastapi"} <= names
    assert not names & {"pytest", "mypy", "ruff", "litserve"}


def test_the_cpu_variant_leaves_out_torch_and_its_cuda_libraries():
    lock = (ROOT / "requirements-image.lock").read_text()
    told = bash("scripts/install_image.sh", "without_cuda", input=lock).stdout
    dropped = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)) - set(
        re.findall(r"^([a-z0-9-]+)==", told, re.MULTILINE)
    )
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-bindings"} <= dropped
    assert all(re.fullmatch("torch|torchvision|triton|(cuda|nvidia)-.*", name) for name in dropped)
    assert bash("scripts/install_image.sh", "pin", "torch").stdout.startswith("torch==2.")
    assert len(told) < len(lock)
    assert told.count("--hash") > 100


def bash(*words, **more):
    return subprocess.run(["bash", *words], cwd=ROOT, capture_output=True, text=True, check=True, **more)


@pytest.fixture
def engine(tmp_path):
    """Stand-ins for docker and gcloud that note their words; `engine(verb, NAME=value)` returns what was noted."""
    for name in ("docker", "gcloud"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >>"{tmp_path}/noted"\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / "system").mkdir()
    (tmp_path / "system/config.yaml").touch()

    def ask(*words, status=0, **variables):
        (tmp_path / "noted").write_text("")
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **variables}
        told = subprocess.run(["bash", SCRIPT, *words], env=environment, capture_output=True, text=True, cwd=ROOT)
        assert told.returncode == status, told.stderr
        return told.stderr if status else (tmp_path / "noted").read_text()

    return ask


def test_build_run_push_and_deploy_by_variables(engine, tmp_path):
    system = str(tmp_path / "system")
    built = engine("build", VARIANT="cpu", NAME="x", SYSTEM=system)
    assert built == (f"docker build --target cpu --build-arg VARIANT=cpu --build-arg PYTHON=3.11-slim-bookworm "
                     f"--build-context system={system} --tag x:cpu .\n")  # fmt: skip
    ran = engine("run", "queue.batch=8", SYSTEM=system, PORT="80")
    assert f"--publish 80:5004 --volume {system}:/system:ro --gpus all grounder:gpu queue.batch=8" in ran
    assert "--volume" not in engine("run", BAKED="true", VARIANT="cpu")
    pushed = engine("push", PROJECT="p", REGION="r", REPOSITORY="s")
    assert pushed.splitlines()[1] == "docker push r-docker.pkg.dev/p/s/grounder:gpu"
    deployed = engine("deploy", PROJECT="p", MODEL="m")
    for words in ("--container-health-route /health", "--container-predict-route /identify", "--container-ports 5004",
                  "--display-name m"):  # fmt: skip
        assert words in deployed


@pytest.mark.parametrize(
    ("verb", "told"),
    [("deploy", "PROJECT: must be given"), ("push", "PROJECT: must be given"), ("run", "holds no config.yaml"),
     ("fly", "not one of build, run, push, deploy")],
)  # fmt: skip
def test_mistakes_are_one_line(engine, verb, told):
    assert told in engine(verb, status=2)


def test_compose_has_both_variants_read_only_and_long_enough_to_drain():
    from pipeline.server.queueing import QueueConfig

    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for variant, service in services.items():
        assert service["build"]["target"] == variant
        assert service["read_only"]
        assert service["volumes"][0].endswith(":/system:ro")
        assert int(service["stop_grace_period"].rstrip("s")) > QueueConfig().deadline_s
    assert services["gpu"]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
