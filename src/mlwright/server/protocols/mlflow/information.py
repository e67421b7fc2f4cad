"""What a client asks of the server itself before it uses more than the protocol's first version."""

from __future__ import annotations

from typing import Any

from mlwright.server.call import Call
from mlwright.server.permissions import Permission
from mlwright.server.routes import Route

_INFORMATION = {
    "store_type": "SqlStore",
    "workspaces_enabled": False,
    "trace_archival_enabled": False,
    "multipart_uploads_enabled": True,
    "multipart_downloads_enabled": False,
    "presigned_upload_run_id_supported": False,
    "presigned_upload_model_id_supported": False,
    "features_enabled": {"gateway": False},
}


async def _server_info(_: Call) -> Any:
    """Tell what else the server can do."""
    return _INFORMATION


ROUTES = (Route("GET", "mlflow/server-info", _server_info, Permission.READ),)
"""The methods, by their paths below `/api/3.0/`."""
