"""From an image to candidates: views, slices, networks, members, ensembles."""
