"""Objects: immutable bytes named by their digest, and trees of them.

Law: the database never names bytes that are not here, and what is read here is what was written.
"""

from mlwright.storage.inline import InlineObjects
from mlwright.storage.local import LocalObjects
from mlwright.storage.memory import MemoryObjects
from mlwright.storage.objects import Objects, Stored
from mlwright.storage.trees import Entry, Tree, check_out, load_tree, scan, store_tree

__all__ = [
    "Entry",
    "InlineObjects",
    "LocalObjects",
    "MemoryObjects",
    "Objects",
    "Stored",
    "Tree",
    "check_out",
    "load_tree",
    "scan",
    "store_tree",
]
