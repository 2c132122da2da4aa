"""Inputs made to raise a target: gradient ascent over the values of an input, NumPy only, written for one sample."""
