"""The application: routes, problems, and what stands around them."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version

from fastapi import FastAPI

from strategy_engine.api import (
    deployments,
    doors,
    edges,
    executions,
    market,
    monitoring,
    openapi,
    problems,
    strategies,
)
from strategy_engine.api.services import Services

ROUTERS = (
    strategies.router,
    deployments.router,
    executions.verbs,
    executions.router,
    market.router,
    monitoring.router,
    monitoring.index_router,
)

type Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build(services: Services, *, api_key: str | None, lifespan: Lifespan | None = None) -> FastAPI:
    """Return the application over these services.

    Parameters
    ----------
    api_key : str or None
        What every caller must hold but those of `/health` and `/metrics`. None lets all in who ask
        for a loopback name, and are no page of elsewhere in a browser.
    """
    app = FastAPI(
        title="Strategy Engine",
        version=version("strategy-engine"),
        lifespan=lifespan,
        redirect_slashes=False,
        dependencies=[doors.unfit_targets],
    )
    app.state.services = services
    app.state.has_key = api_key is not None
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    openapi.install(app)
    app.add_middleware(edges.BodyLimit)
    if api_key is None:
        app.add_middleware(edges.OriginGuard)
    else:
        app.add_middleware(edges.KeyGuard, api_key=api_key)
    app.add_middleware(edges.LastResort)
    app.add_middleware(edges.Heads)
    return app
