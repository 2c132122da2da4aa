"""Attributions as pixels, curves and bars. Normalisation happens here and nowhere else."""
