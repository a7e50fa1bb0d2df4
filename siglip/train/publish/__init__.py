"""What a finished training leaves: the checkpoint folder, its card, the push to a hub."""
