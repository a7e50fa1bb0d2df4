"""Scores files and says how far the scores can be believed; never loads a model."""

import grounder as grounder  # before a working folder's own files of our rooms' names
