"""The server itself."""

from tests.server.conformance.scenario import CODED, Session, differs, scenario


@scenario(
    "GET /health",
    "GET /version",
    "GET server-info",
    differs=(
        differs("GET /version", "It is ours: of mlwright, not of MLflow.", "version"),
        differs(
            "GET server-info", "It tells what this server has: files in parts, no gateway.", "information"
        ),
        differs("", CODED, "unknown path"),
    ),
)
def the_server(s: Session) -> None:
    """A server tells that it is well, which version it is, and what it has."""
    s.http("health", "GET", "/health")
    s.http("version", "GET", "/version")
    s.http("information", "GET", "/api/3.0/mlflow/server-info")
    s.http("unknown path", "GET", "/api/2.0/mlflow/unheard-of")
    s.http("unknown place", "GET", "/api/9.0/mlflow/runs/get")
