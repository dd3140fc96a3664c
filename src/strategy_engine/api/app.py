"""The application: routes, problems, and what stands around them."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version

from fastapi import FastAPI

from strategy_engine.api import (
    alerts,
    bus,
    deployments,
    doors,
    edges,
    emergency,
    eventhub,
    events,
    executions,
    experiments,
    exports,
    flags,
    flattening,
    imports,
    keys,
    lines,
    market,
    measures,
    monitoring,
    openapi,
    problems,
    risk,
    risk_limits,
    strategies,
    streams,
    timing,
    verbs,
    webhooks,
)
from strategy_engine.api.services import Services

ROUTERS = (
    strategies.router,
    deployments.router,
    verbs.router,
    executions.verbs,
    executions.router,
    flattening.router,
    market.router,
    imports.router,
    keys.router,
    webhooks.router,
    flags.router,
    exports.router,  # before the lines: a name may hold a slash
    measures.router,
    lines.router,
    experiments.router,
    emergency.router,
    risk_limits.router,
    risk.router,
    monitoring.router,
    monitoring.index_router,
    bus.router,
    events.router,
    alerts.router,
)

type Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build(services: Services, *, lifespan: Lifespan | None = None) -> FastAPI:
    """Return the application over these services."""
    app = FastAPI(
        title="Strategy Engine",
        version=version("strategy-engine"),
        lifespan=lifespan,
        redirect_slashes=False,
        dependencies=[doors.unfit_targets, doors.permitted],
    )
    app.state.services = services
    app.state.streams = streams.Streams()
    app.state.hub = eventhub.Hub()
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    openapi.install(app)
    app.add_middleware(edges.BodyLimit)
    app.add_middleware(edges.Porter)
    app.add_middleware(edges.LastResort)
    app.add_middleware(edges.Heads)
    if services is not None:  # a document alone is asked by nobody
        app.add_middleware(timing.Timing, meters=services.meters)
    return app
