"""YOLOv6-L6, written here from the names and shapes of its tensors: network, weights, assignment and losses."""
