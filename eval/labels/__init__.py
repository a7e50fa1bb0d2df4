"""Labels that runs speak against: the signs of each run, ranked over several, for `eval.suspects` and the report."""
