"""Rules of public benchmarks: each module states its source and its quirk, and never sees a model.

A module holds `judge(outcomes, least_score)`, which gives its figures by the names that the benchmark prints, and in
`BESIDE` which of our own figures is nearest to each. `least_score` takes the place of the score from which a benchmark
counts boxes, where it has one.
"""
