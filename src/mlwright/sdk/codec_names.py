"""The codecs whose names the engine must know, without what the codecs need."""

PICKLE = "pickle"
"""What it wrote runs when it is loaded."""

ONNX = "onnx"
"""A graph of operators, which ONNX Runtime computes."""

TREE = "tree"
"""Of a dataset, and of a folder that a step made: what is recorded names a tree, not an object."""
