"""How large the parts of a saved model may be: what is larger is refused before it is read."""

WEIGHT_BYTES = 4 << 30
"""All of a model's weights, as they lie in its files and as they will lie in memory."""

GRAPH_BYTES = 1 << 30
"""`saved_model.pb`, or a frozen graph with its weights; Protocol Buffers themselves end at twice that."""

JSON_BYTES = 64 << 20
"""A configuration, or a TensorFlow.js model's `model.json`."""

EXPANSION = 64
EXPANSION_FLOOR = 64 << 20
"""Arrays may be declared this many times larger than the bytes they are stored in, and below the floor freely."""


def swollen(declared: int, stored: int) -> bool:
    """Whether arrays are declared so much larger than they are stored that their data can't be in the file."""
    return declared > max(EXPANSION_FLOOR, EXPANSION * stored)
