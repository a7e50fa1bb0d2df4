"""The page of a training that runs: its curves and images, rewritten every epoch."""
