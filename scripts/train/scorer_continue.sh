#!/usr/bin/env bash
# A second cosine cycle of five epochs from a trained scorer: the published "cont 5ep". Weights only, a fresh optimizer.
#
#   SCORER=runs/scorer CROPS=CROP_SET scripts/train/scorer_continue.sh
set -euo pipefail

CROPS=${CROPS:-datasets/crops_x4}           # crop set
SCORER=${SCORER:-runs/scorer}               # run folder of the first cycle
PRESET=${PRESET:-large_augv2_x4_ep5_cont5}  # configs/experiment/siglip: a row of docs/experiments.csv
GPUS=${GPUS:-5}                             # how many
RUN=${RUN:-runs/scorer_continued}           # run folder

accelerate launch --multi_gpu --num_processes "$GPUS" --mixed_precision bf16 -m siglip.train \
  "experiment/siglip=$PRESET" "crops=$CROPS" "scorer.weights=$SCORER/last" batch.micro=12 "run_dir=$RUN" "$@"
