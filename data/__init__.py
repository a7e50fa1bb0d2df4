"""Annotation files, splits, crop sets, drawn scenes, noise and the augmentation both trainers share."""
