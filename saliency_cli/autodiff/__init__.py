"""The TensorFlow engine over one representation: a traced graph with named inputs, outputs and layers."""
