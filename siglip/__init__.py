"""Fine-tunes and runs the scorer that compares a crop with a caption."""
