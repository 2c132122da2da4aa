"""Saliency maps of any saved Keras model."""

__version__ = "0.1.0"
