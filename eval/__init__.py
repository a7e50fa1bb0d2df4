"""Scores files and says how far the scores can be believed; never loads a model."""
