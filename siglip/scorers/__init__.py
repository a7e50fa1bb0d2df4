"""The scorer families: transformers, open_clip, exported ONNX, and several merged."""
