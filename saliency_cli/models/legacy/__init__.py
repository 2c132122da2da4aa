"""Models of Keras 1 and 2, opened through tf_keras, migrated where that fails, and traced at once."""
