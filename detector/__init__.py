"""Trains and runs the single-class YOLO that finds every target."""

import grounder as grounder  # before a working folder's own files of our rooms' names
