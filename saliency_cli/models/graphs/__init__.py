"""Graphs: SavedModel, frozen GraphDef and TensorFlow.js graph-model, all as one flattened graph."""
