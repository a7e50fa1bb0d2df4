#!/usr/bin/env bash
# Fetch the pretrained weights to where the presets look for them, and say where the published ones go.
#
#   scripts/fetch_weights.sh                all of them (many GB)
#   scripts/fetch_weights.sh upscalers      or only detectors, upscalers, scorers; `published` only tells
#
# Files that are there already are left alone. A download is moved into place only when it is whole.
set -euo pipefail

WHAT=${1:-all}
WEIGHTS=${GROUNDER_WEIGHTS:-$(cd "$(dirname "$0")/.." && pwd)/weights} # weights_dir, core/weights.py
ULTRALYTICS=https://github.com/ultralytics/assets/releases/download/v8.4.0
ESRGAN=https://github.com/xinntao/Real-ESRGAN/releases/download

get() { # URL FILE
  if [[ -s $2 ]]; then
    echo "$2: already there"
    return
  fi
  mkdir -p "$(dirname "$2")"
  curl --fail --location --retry 3 --output "$2.part" "$1"
  mv "$2.part" "$2"
}

detectors() { # COCO weights that trainings start from
  get "$ULTRALYTICS/yolov9e.pt" "$WEIGHTS/yolov9e.pt"
  get "$ULTRALYTICS/yolov9c.pt" "$WEIGHTS/yolov9c.pt"
}

upscalers() {
  get "$ESRGAN/v0.2.5.0/realesr-general-x4v3.pth" "$WEIGHTS/realesr-general-x4v3.pth"
  get "$ESRGAN/v0.2.1/RealESRGAN_x2plus.pth" "$WEIGHTS/RealESRGAN_x2plus.pth"
  get "$ESRGAN/v0.1.0/RealESRGAN_x4plus.pth" "$WEIGHTS/RealESRGAN_x4plus.pth"
}

scorers() { # into the Hugging Face cache, where the presets' hub names are looked up
  hf download google/siglip-large-patch16-384
  hf download google/siglip-so400m-patch14-384
}

published() {
  cat <<'TEXT'
The published system's own checkpoints are named in docs/experiments.csv (columns detector and scorer_run). Whoever has them puts
  a detector   at weights/detectors/NAME.pt   (yolov9e_ep65.pt, yolov6l6_ep22.pt; both as their trainers wrote them)
  a scorer     at weights/scorers/NAME/       (config.json, model.safetensors, tokenizer); siglip.convert cleans its keys first
TEXT
}

case $WHAT in
  all) detectors && upscalers && scorers && published ;;
  detectors | upscalers | scorers | published) "$WHAT" ;;
  *)
    echo "fetch_weights: $WHAT: one of all, detectors, upscalers, scorers, published" >&2
    exit 2
    ;;
esac
