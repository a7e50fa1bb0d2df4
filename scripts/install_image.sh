#!/usr/bin/env bash
# The installing steps of the Dockerfile, as a script so that they can be run without an engine too.
#
#   scripts/install_image.sh environment gpu|cpu VENV    the pinned dependencies, from hashes
#   scripts/install_image.sh package VENV                this repository, beside them
#
# gpu: torch as the lock pins it, with its CUDA libraries. cpu: the same versions of torch and torchvision from
# PyTorch's own CPU builds, without them; those two are pinned by version, not by hash. TORCH_BACKEND=lock takes the
# lock's torch for the cpu variant as well, where PyTorch's own index cannot be reached.
set -euo pipefail

lock=requirements-image.lock
cuda='^(torch|torchvision|triton|cuda-[a-z0-9-]+|nvidia-[a-z0-9-]+)=='

environment() {
  local variant=$1 venv=$2
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
  local install=("$venv/bin/uv" pip install --quiet --no-cache --compile-bytecode --no-build-isolation
    --python "$venv/bin/python")
  case $variant in
    gpu) "${install[@]}" --no-deps --require-hashes -r "$lock" ;;
    cpu)
      if [[ ${TORCH_BACKEND:-cpu} == lock ]]; then
        "${install[@]}" --no-deps --require-hashes -r "$lock"
      else
        without_cuda <"$lock" >"$venv/without-cuda.txt"
        "${install[@]}" --no-deps --require-hashes -r "$venv/without-cuda.txt"
        "${install[@]}" --no-deps --torch-backend "${TORCH_BACKEND:-cpu}" "$(pin torch)" "$(pin torchvision)"
      fi
      ;;
    *)
      echo "install_image: $variant is neither gpu nor cpu" >&2
      exit 2
      ;;
  esac
}

# The lock's entries, without torch and what comes with its CUDA build.
without_cuda() {
  awk -v cuda="$cuda" '/^[a-z0-9]/ { drop = ($0 ~ cuda) } !drop'
}

# name==version, as the lock pins it.
pin() {
  grep -oE "^$1==[^ ]+" "$lock"
}

package() {
  local venv=$1
  "$venv/bin/uv" pip install --quiet --no-cache --compile-bytecode --no-deps --no-build-isolation \
    --python "$venv/bin/python" .
}

"$@"
