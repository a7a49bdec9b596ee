"""Reads which bids and watches of a user explain the lines of the user's homepage."""

import logging
from collections.abc import Mapping
from datetime import datetime

import attrs

from angle_reco.application.trained_models import TrainedModels
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.scoring.own_sources import OwnItems, lines_to_explain
from angle_reco.domain.stored_list import StoredList
from angle_reco.domain.whys import NO_SOURCES, Sources
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import deadline
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)

_TOUCHED = 200
"""The newest items of a user among which sources are looked for."""

_PART_OF_A_CALL = 4


@attrs.frozen(kw_only=True)
class SourceReader:
    """Reads the items that a user touched last, where the sentences of a list may name one."""

    catalog: CatalogQueries
    models: TrainedModels
    clock: Clock
    settings: Settings
    as_of: datetime | None = None

    def of(self, user_id: UserId, stored: StoredList, cards: Mapping[ItemId, ItemCard]) -> Sources:
        """Return what explains the lines of a list, whose items have these *cards*.

        Where it cannot be read in a part of the time of a call, sentences name nothing.
        """
        lines = lines_to_explain(stored)
        if not any(lines):
            return NO_SOURCES
        try:
            with deadline(self.settings.deadline.total_seconds() / _PART_OF_A_CALL):
                touched = self.catalog.touched_items(user_id, most=_TOUCHED, until=self.as_of)
        except StorageUnavailableError as error:
            _log.warning("sources not read: error=%s", type(error).__name__)
            return NO_SOURCES
        named = [one for one in touched if one.title]
        if not named:
            return NO_SOURCES
        own = OwnItems(
            user_id=user_id,
            touched=named,
            listed=stored.ids,
            cards=cards,
            ids=self.settings.ids,
            rule=self.settings.interest,
            now=self.clock.now(),
            model=self.models.newest if stored.recipe.model else None,
        )
        return own.sources(lines)
