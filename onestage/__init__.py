"""Models that go from image and caption to boxes in one step, behind the same evaluation."""
