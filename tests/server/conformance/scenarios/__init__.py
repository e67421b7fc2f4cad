"""Every scenario; importing this declares them."""

from tests.server.conformance.scenarios import (
    artifacts,
    experiments,
    frameworks,
    history,
    logged_models,
    logging,
    refusals,
    registry,
    runs,
    searching,
    server,
)

MODULES = (
    experiments,
    runs,
    logging,
    history,
    searching,
    refusals,
    artifacts,
    registry,
    logged_models,
    frameworks,
    server,
)
