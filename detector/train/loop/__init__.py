"""The training loop for every detector that is not Ultralytics': on accelerate, exact, judged by our own AP."""
