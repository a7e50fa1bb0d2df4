"""Enlarges crops by super-resolution."""

import grounder as grounder  # before a working folder's own files of our rooms' names
