"""Annotation files, splits, crop sets, drawn scenes, noise and the augmentation both trainers share."""

import grounder as grounder  # before a working folder's own files of our rooms' names
