#!/usr/bin/env bash
# The scorer on two crop sets merged into one, both enlarged: the published "v3" and "merged" trainings.
#
#   FIRST=CROP_SET SECOND=CROP_SET scripts/train/scorer_merged.sh
set -euo pipefail

FIRST=${FIRST:-datasets/crops_x4}                # crop set
SECOND=${SECOND:-datasets/crops_second_x4}       # crop set, enlarged in the same way
MERGED=${MERGED:-datasets/crops_merged_x4}       # where both go
PRESET=${PRESET:-large_augv2_merged_ep10}        # configs/experiment/siglip: a row of docs/experiments.csv
GPUS=${GPUS:-5}                                  # how many
RUN=${RUN:-runs/scorer_merged}                   # run folder

python -m data.merge "sets=[$FIRST,$SECOND]" collisions=rename "run_dir=$MERGED"
accelerate launch --multi_gpu --num_processes "$GPUS" --mixed_precision bf16 -m siglip.train \
  "experiment/siglip=$PRESET" "crops=$MERGED" batch.micro=12 "run_dir=$RUN" "$@"
