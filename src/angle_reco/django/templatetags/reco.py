"""The tags of `{% load reco %}`, each with the shelf for the user of the request.

{% recommended as shelf limit=8 %} is written {% recommended limit=8 as shelf %} in Django:
the name comes last.
"""

import logging
from collections.abc import Callable
from typing import Any

from django import template

from angle_reco import Freshness, InvalidValueError, ItemNotFoundError, Shelf
from angle_reco.django.pages import PageView, page_view

register = template.Library()

_log = logging.getLogger(__name__)

_NOTHING = Shelf((), freshness=Freshness.FRESH)

_IDS = ("item id", "category id")

_INVALID = ""
"""What a template passes for a variable that it does not have."""


@register.simple_tag(takes_context=True)
def recommended(context: Any, limit: int = 20, after: str | None = None) -> Shelf:
    """Return the homepage: `{% recommended limit=8 after=request.GET.after as shelf %}`."""
    page = _page(context)
    return _after(after, lambda cursor: page.homepage(limit, after=cursor))


@register.simple_tag(takes_context=True)
def similar(context: Any, item: Any, limit: int = 8) -> Shelf:
    """Return similar items: `{% similar item as shelf %}`; none if the item is unknown."""
    page = _page(context)
    return _of_known(lambda: page.similar_items(page.given(item, "item"), limit))


@register.simple_tag(takes_context=True)
def after_bid(context: Any, item: Any, limit: int = 8) -> Shelf:
    """Return "You might also like", for visitors similar items: `{% after_bid item as shelf %}`."""
    page = _page(context)
    call = page.similar_items if page.user_id is None else page.after_bid
    return _of_known(lambda: call(page.given(item, "item"), limit))


@register.simple_tag(takes_context=True)
def popular(context: Any, limit: int = 20, category: Any = None, after: str | None = None) -> Shelf:
    """Return popular items: `{% popular limit=8 category=item.category as shelf %}`."""
    page = _page(context)

    def call(cursor: str | None) -> Shelf:
        of = None if category in (None, _INVALID) else page.given(category, "category")
        return page.popular_items(limit, category=of, after=cursor)

    return _of_known(lambda: _after(after, call))


def _after(cursor: str | None, page: Callable[[str | None], Shelf]) -> Shelf:
    """Return the page after a cursor; the first one for a text that is none.

    The text is mostly that of a visitor's address, and a template cannot answer 400.
    """
    try:
        return page(cursor or None)
    except InvalidValueError as error:
        if error.what != "after":
            raise
        return page(None)


def _of_known(call: Callable[[], Shelf]) -> Shelf:
    """Return an empty shelf for what cannot be the id of an item or category."""
    try:
        return call()
    except ItemNotFoundError:
        return _NOTHING
    except InvalidValueError as error:
        if error.what not in _IDS:
            raise
        return _NOTHING


def _page(context: Any) -> PageView:
    request = context.get("request")
    if request is None:
        _log.warning("template has no request, it shows what a visitor may see")
        return page_view(None)
    page: PageView | None = getattr(request, "reco", None)
    return page_view(request) if page is None else page
