"""The command line: settings composed by Hydra, one clear line for a wrong one, a run folder for each command."""
