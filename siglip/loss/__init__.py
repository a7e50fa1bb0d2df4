"""The sigmoid loss over whole batches: its value, its gradient cache, its gathering over processes."""
