#!/usr/bin/env bash
# The published detector on several GPUs: stage 1 at 1280 px, stage 2 at 1600 px, in one run.
#
#   DATA=YOLO_TREE scripts/train/detector.sh                        the log's best, epoch 65
#   DATA=YOLO_TREE PRESET=train_yolov9c GPUS=0,1,2,3 scripts/train/detector.sh
#
# A second call with the same words goes on where a killed one stopped.
set -euo pipefail

DATA=${DATA:-datasets/yolo}                 # tree that data.yolo wrote
PRESET=${PRESET:-train_yolov9e_ep65}        # configs/experiment/detector: a row of docs/experiments.csv
GPUS=${GPUS:-0,1}                           # devices, by number
RUN=${RUN:-runs/detector}                   # run folder

python -m detector.train "experiment/detector=$PRESET" "data=$DATA" "device=[$GPUS]" "run_dir=$RUN" "$@"
