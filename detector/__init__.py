"""Trains and runs the single-class YOLO that finds every target."""
