"""Detectors that are not Ultralytics': YOLOv6 and those of transformers, each behind the same few methods."""
