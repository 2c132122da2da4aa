"""Saliency maps of any saved Keras model."""
