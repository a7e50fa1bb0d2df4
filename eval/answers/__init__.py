"""Answers to captions: joined with their truth, judged one by one, and counted into figures."""
