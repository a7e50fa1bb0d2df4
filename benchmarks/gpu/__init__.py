"""The rows of `make gpu-check`: training steps, the whole pipeline and agreement with the CPU, on one GPU."""
