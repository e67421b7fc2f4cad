"""Environments: an interpreter and locked packages, built once and shared, by uv.

Law: an environment is named by what is in it, and is complete or not there.
"""

from mlwright.environments.builds import Environment
from mlwright.environments.environments import Environments
from mlwright.environments.inventory import Inventory
from mlwright.environments.locks import Lock, current_platform

__all__ = ["Environment", "Environments", "Inventory", "Lock", "current_platform"]
