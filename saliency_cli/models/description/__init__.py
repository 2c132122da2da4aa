"""What a saved model is, told from its file alone: no TensorFlow, no Keras, nothing of it built or run."""
