"""The application: routes and middlewares around a `Service`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from edgellm import __version__
from edgellm.serve.api import chat, completions, described, errors, intent, models, state
from edgellm.serve.api.request_ids import RequestIds
from edgellm.serve.api.route import LeanRoute
from edgellm.serve.served import Service

ROUTERS: tuple[APIRouter, ...] = (  # the busiest first: routes are looked through in this order
    completions.router,
    chat.router,
    intent.router,
    models.router,
    state.router,
)


def create_app(
    service: Service,
    middlewares: Sequence[Middleware] = (),
    routers: Sequence[APIRouter] = (),
    lifespan: Any = None,
) -> FastAPI:
    """The application of a service, which it neither starts nor closes.

    `middlewares`: inside of the one that gives requests their ids, the outermost first. `routers`: besides `ROUTERS`. `lifespan`:
    as FastAPI's. Security tells who asks in `request.state.client`.
    """
    app = FastAPI(
        title="edgellm",
        version=__version__,
        summary="Small language models in microseconds a token: the same tokens, bit for bit, on every back end",
        docs_url=None,  # these pages are of another host
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        responses=described.ANY_ERROR,
        middleware=[Middleware(RequestIds), *middlewares],
    )
    app.state.service = service
    for router in (*ROUTERS, *routers):
        _include(app, router)
    errors.install(app)
    described.install(app)
    return app


def _include(app: FastAPI, router: APIRouter) -> None:
    """Lean routes are the application's own: inside of an included router FastAPI puts back what they leave out."""
    if router.route_class is not LeanRoute:
        app.include_router(router)
        return
    app.router.routes.extend(router.routes)
