"""Value types, box arithmetic and file habits that every room shares; no models, no Hydra."""
