#!/usr/bin/env bash
# SigLIP on two 24-GiB GPUs, 10 crops each at a time, a batch of 960: as published, with longer accumulation.
#
#   CROPS=CROP_SET scripts/train/scorer_2_gpus.sh
#
# Words after the script's name are passed on: `epochs=10`, `loss.same_caption=ignored`.
set -euo pipefail

CROPS=${CROPS:-datasets/crops_x4}           # crop set; upscale.crops writes an enlarged one
PRESET=${PRESET:-large_augv2_x4_ep5}        # configs/experiment/siglip: a row of docs/experiments.csv
RUN=${RUN:-runs/scorer}                     # run folder

accelerate launch --multi_gpu --num_processes 2 --mixed_precision bf16 -m siglip.train \
  "experiment/siglip=$PRESET" "crops=$CROPS" batch.micro=10 "run_dir=$RUN" "$@"
