"""Fine-tunes and runs the scorer that compares a crop with a caption."""

import grounder as grounder  # before a working folder's own files of our rooms' names
