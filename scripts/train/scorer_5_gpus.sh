#!/usr/bin/env bash
# SigLIP Large on five 24-GiB GPUs, 12 crops each at a time, a batch of 960: the published main training.
#
#   CROPS=CROP_SET scripts/train/scorer_5_gpus.sh
#
# Words after the script's name are passed on: `epochs=10`, `loss.same_caption=ignored`.
set -euo pipefail

CROPS=${CROPS:-datasets/crops_x4}           # crop set; upscale.crops writes an enlarged one
PRESET=${PRESET:-large_augv2_x4_ep5}        # configs/experiment/siglip: a row of docs/experiments.csv
RUN=${RUN:-runs/scorer}                     # run folder

accelerate launch --multi_gpu --num_processes 5 --mixed_precision bf16 -m siglip.train \
  "experiment/siglip=$PRESET" "crops=$CROPS" batch.micro=12 "run_dir=$RUN" "$@"
