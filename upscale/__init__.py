"""Enlarges crops by super-resolution."""
