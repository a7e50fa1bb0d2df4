"""Hydra values: one YAML per command that has groups, one folder per group; schemas live beside the code they feed."""
