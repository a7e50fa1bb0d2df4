"""The only room that knows all stages: build, export, locate, serve."""

import grounder as grounder  # before a working folder's own files of our rooms' names
