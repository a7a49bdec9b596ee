"""What a page shows to the user of a request."""

import logging
from collections.abc import Callable
from typing import Any, Literal

import attrs

from angle_reco import Freshness, Recommender, SchemaError, Shelf, View
from angle_reco.django.configuration import ConfigurationError, configured
from angle_reco.django.connecting import recommender
from angle_reco.django.market import MappedMarket
from angle_reco.domain.ids import IdKind, UserRef

_log = logging.getLogger(__name__)

_NOTHING = Shelf((), freshness=Freshness.STALE_ON_ERROR, degraded_by=("configuration",))


@attrs.frozen
class PageView:
    """The recommendations for a request's user or visitor; each card is an object of the model.

    Without a usable configuration or tables, shelves are empty and the log says why.
    """

    market: MappedMarket | None
    reco: Recommender | None
    request: Any | None

    @property
    def user_id(self) -> UserRef | None:
        """Return the id of the user, None for a visitor.

        It is asked each time, because a request may sign a user in or out.
        """
        user = getattr(self.request, "user", None)
        if self.market is None or not getattr(user, "is_authenticated", False):
            return None
        user_id: UserRef = self.market.user_id(user)
        return user_id

    @property
    def view(self) -> View:
        """Return the view of the same user, which has all calls of the library.

        Raises:
            ConfigurationError: The project's configuration cannot be used.
        """
        reco, user_id = recommender() if self.reco is None else self.reco, self.user_id
        return reco.anonymous if user_id is None else reco.as_user(user_id)

    def homepage(self, limit: int = 20, *, after: str | None = None) -> Shelf:
        """Return "Recommended for you", and popular items for a visitor: see `View.homepage`."""
        return self._shown(lambda cards: self.view.homepage(limit, after=after, cards=cards))

    def similar_items(self, item: Any, limit: int = 8) -> Shelf:
        """Return similar items of an object or an id: see `View.similar_items`."""
        return self._shown(
            lambda cards: self.view.similar_items(self._id_of(item), limit, cards=cards)
        )

    def after_bid(self, item: Any, limit: int = 8) -> Shelf:
        """Return "You might also like" after a bid on an item: see `View.after_bid`."""
        return self._shown(lambda cards: self.view.after_bid(self._id_of(item), limit, cards=cards))

    def popular_items(
        self, limit: int = 20, *, category: Any = None, after: str | None = None
    ) -> Shelf:
        """Return popular items, of all or of one category: see `View.popular_items`."""
        category = getattr(category, "pk", category)
        return self._shown(
            lambda cards: self.view.popular_items(
                limit, category=category, after=after, cards=cards
            )
        )

    def given(self, value: object, name: Literal["item", "category"]) -> object:
        """Return an object, or the id that a text is, such as a part of a URL.

        Raises:
            InvalidValueError: The text is no id.
        """
        if self.reco is None or not isinstance(value, str):
            return value
        kind: IdKind = getattr(self.reco.settings.ids, name)
        return kind.parse(value, f"{name} id")

    def _id_of(self, item: Any) -> Any:
        return item if self.market is None else self.market.item_id(item)

    def _shown(self, call: Callable[[Any], Shelf]) -> Shelf:
        if self.market is None:
            return _NOTHING
        try:
            return call(self.market.load_cards)
        except SchemaError as error:
            # The text may have values of rows, which `manage.py check --database` shows.
            _log.error("page without suggestions, see the checks: error=%s", type(error).__name__)
            return _NOTHING


def page_view(request: Any) -> PageView:
    """Return the recommendations for the user of a request; without a request, for a visitor."""
    try:
        return PageView(configured().market, recommender(), request)
    except ConfigurationError as error:
        _log.error("page without suggestions: check=%s configuration=%s", error.id, error)
        return PageView(None, None, None)
