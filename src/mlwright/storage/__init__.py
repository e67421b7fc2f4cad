"""Objects: immutable bytes named by their digest, and trees of them.

Law: the database never names bytes that are not here, and what is read here is what was written.
"""

from mlwright.storage.checkout import check_out
from mlwright.storage.ingest import store_tree
from mlwright.storage.inline import InlineObjects
from mlwright.storage.local import LocalObjects
from mlwright.storage.memory import MemoryObjects
from mlwright.storage.objects import Objects, Stored
from mlwright.storage.packs import PackedObjects
from mlwright.storage.places import Place, Places
from mlwright.storage.reading import ranges_of, verify_entries
from mlwright.storage.scan import Source, scan
from mlwright.storage.transfer import transfer, transfer_tree
from mlwright.storage.trees import Entry, Tree, load_tree

__all__ = [
    "Entry",
    "InlineObjects",
    "LocalObjects",
    "MemoryObjects",
    "Objects",
    "PackedObjects",
    "Place",
    "Places",
    "Source",
    "Stored",
    "Tree",
    "check_out",
    "load_tree",
    "ranges_of",
    "scan",
    "store_tree",
    "transfer",
    "transfer_tree",
    "verify_entries",
]
