"""Environments: an interpreter and locked packages, built once and shared, by uv.

Law: an environment is named by what is in it, and is complete or not there.
"""

from mlwright.environments.builds import Environment
from mlwright.environments.changes import Changes, PackageChange, Proposal
from mlwright.environments.differences import EnvironmentDifference, PackageDifference, differing, packages_of
from mlwright.environments.environments import Environments
from mlwright.environments.inventory import Inventory
from mlwright.environments.listing import ListedEnvironment
from mlwright.environments.locks import Lock, current_platform
from mlwright.environments.mixing import Exclusive

__all__ = [
    "Changes",
    "Environment",
    "EnvironmentDifference",
    "Environments",
    "Exclusive",
    "Inventory",
    "ListedEnvironment",
    "Lock",
    "PackageChange",
    "PackageDifference",
    "Proposal",
    "current_platform",
    "differing",
    "packages_of",
]
