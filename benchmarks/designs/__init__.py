"""What `benchmarks/published_design.py` trains, asks and judges."""
