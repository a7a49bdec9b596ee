"""The tags of `{% load reco %}`, each with the shelf for the user of the request."""

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


def _with_name(parse: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return what parses a tag of `simple_tag` with `as name` at any place, which it needs."""

    def parse_named(parser: Any, token: Any) -> Any:
        name, *bits = token.split_contents()
        if "as" not in bits[:-1]:
            raise template.TemplateSyntaxError(
                f"'{name}' gives a shelf, which needs a name: {{% {name} … as shelf %}}"
            )
        place = bits.index("as")
        last = bits[place : place + 2]
        token.contents = " ".join([name, *bits[:place], *bits[place + 2 :], *last])
        return parse(parser, token)

    return parse_named


register.tags = {name: _with_name(parse) for name, parse in register.tags.items()}


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
