"""Environments: an interpreter and locked packages, built once and shared, by uv.

Law: an environment is named by what is in it, and is complete or not there.
"""

from mlwright.environments.builds import Environment
from mlwright.environments.changes import Changes, PackageChange, Proposal
from mlwright.environments.environments import Environments
from mlwright.environments.inventory import Inventory
from mlwright.environments.locks import Lock, current_platform

__all__ = [
    "Changes",
    "Environment",
    "Environments",
    "Inventory",
    "Lock",
    "PackageChange",
    "Proposal",
    "current_platform",
]
