"""The names under which commands write figures, for all who show them: report, its charts, and the dashboard."""

# the figures worth a place in the table of runs, by command
HEADLINES = {
    "data.scenes": ("num_images", "num_targets", "num_captions"),
    "data.split": ("num_train", "num_val"),
    "data.crops": ("num_crops",),
    "data.yolo": ("num_train", "num_val"),
    "upscale.crops": ("num_crops",),
    "detector.train": ("AP50", "AP"),
    "siglip.train": ("loss", "ranking_accuracy", "detected_accuracy", "samples_per_s"),
    "pipeline.export": ("accuracy", "num_captions", "peak_memory_mib"),
    "eval.coco": ("AP", "AP50", "f1", "best_f1"),
    "eval.grounding": ("accuracy", "num_hits", "num_captions"),
    "eval.sweep": ("num_points", "best_accuracy"),
}

# what a training logs, a chart's curves, and how the charts call them
DETECTOR_LOSSES = {"train/box_loss": "box", "train/cls_loss": "class", "train/dfl_loss": "distribution"}
DETECTOR_VALIDATION = ("AP50", "AP", "precision", "recall")
SCORER_LOSS = ("loss",)
SCORER_VALIDATION = {
    "ranking_accuracy": "own crop found",
    "retrieval_at_1": "own caption found",
    "detected_accuracy": "right candidate found",
}
SCORER_STEPS = ("lr", "scale", "bias", "samples_per_s")

# what evaluations tell Weights & Biases, each under its command's verb
ACCURACIES = ("grounding/accuracy", "export/accuracy", "report/accuracy", "report/ceiling", "sweep/best_accuracy")
BOXES = ("coco/AP", "coco/AP50", "coco/best_f1", "coco/precision", "coco/recall")
MEMORY = "export/peak_memory_mib"
TABLES = ("grounding/outcomes", "coco/curves", "export/stages", "compare/differences", "robustness/grades",
          "correlation/correlations", "speed/systems")  # fmt: skip
SWEEP_TABLES = ("sweep/points",)
