"""The only room that knows all stages: build, export, locate, serve."""
