"""Metrics, one file each: a number about a map, a model at a sample, or a pair of maps. NumPy only."""
