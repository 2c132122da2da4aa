"""TensorFlow.js layers-models, built again as Keras layers with the conventions of TensorFlow.js."""
