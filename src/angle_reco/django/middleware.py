"""The middleware that adds `request.reco`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.utils.decorators import sync_and_async_middleware
from django.utils.functional import SimpleLazyObject

from angle_reco.django.pages import PageView, page_view

_COOKIE = "angle_reco_reported"
_SECONDS = 5
"""Longer than other processes take to read the change feed."""

_reported: ContextVar[list[None] | None] = ContextVar("_reported", default=None)


@sync_and_async_middleware
def reco_middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Add `request.reco`, the recommendations for the request's user, made when it is first used.

    Place it after AuthenticationMiddleware. A request that reports an event sets a cookie for
    some seconds: the next page reads the change feed, because another process may answer it.
    """
    if iscoroutinefunction(get_response):

        async def of_coroutine(request: Any) -> Any:
            with _reporting(request) as reported:
                response = await get_response(request)
            return _marked(request, response, reported)

        return of_coroutine

    def middleware(request: Any) -> Any:
        with _reporting(request) as reported:
            response = get_response(request)
        return _marked(request, response, reported)

    return middleware


def note_reported() -> None:
    """Note that the current request reports an event."""
    reported = _reported.get()
    if reported is not None:
        reported.append(None)


@contextmanager
def _reporting(request: Any) -> Iterator[list[None]]:
    request.reco = SimpleLazyObject(lambda: _view(request))
    reported = list[None]()
    token = _reported.set(reported)
    try:
        yield reported
    finally:
        _reported.reset(token)


def _view(request: Any) -> PageView:
    view = page_view(request)
    if view.reco is not None and _COOKIE in request.COOKIES:
        view.reco.catch_up()
    return view


def _marked(request: Any, response: Any, reported: list[None]) -> Any:
    if reported:
        response.set_cookie(
            _COOKIE,
            "1",
            max_age=_SECONDS,
            secure=request.is_secure(),
            httponly=True,
            samesite="Lax",
        )
    return response
