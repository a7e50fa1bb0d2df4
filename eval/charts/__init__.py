"""Charts as SVG for the report and as PNG for files."""
