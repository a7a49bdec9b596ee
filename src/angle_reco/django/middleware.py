"""The middleware that adds `request.reco`."""

from collections.abc import Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.utils.decorators import sync_and_async_middleware
from django.utils.functional import SimpleLazyObject

from angle_reco.django.pages import page_view


@sync_and_async_middleware
def reco_middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Add `request.reco`, the recommendations for the request's user, made when it is first used.

    Place it after AuthenticationMiddleware.
    """
    if iscoroutinefunction(get_response):

        async def of_coroutine(request: Any) -> Any:
            request.reco = SimpleLazyObject(partial(page_view, request))
            return await get_response(request)

        return of_coroutine

    def middleware(request: Any) -> Any:
        request.reco = SimpleLazyObject(partial(page_view, request))
        return get_response(request)

    return middleware
