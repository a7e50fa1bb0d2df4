"""Boxes against targets: tables of boxes, matching, average precision, operating points."""
