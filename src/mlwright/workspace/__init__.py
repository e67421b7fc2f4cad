"""The workspace: one metadata database and one object store, and this machine's own side of them.

Law: opening never changes what another version wrote, and a store that belongs to another workspace is
refused.
"""

from mlwright.workspace.template import create_project, plan_project
from mlwright.workspace.workspace import Workspace, open_workspace

__all__ = ["Workspace", "create_project", "open_workspace", "plan_project"]
