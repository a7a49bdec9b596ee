"""The list of a single owner: computed out of turn, stored, and entered into other lists."""

from contextlib import suppress
from datetime import datetime

import attrs

from angle_reco.application.jobs.run_context import Done, RunContext
from angle_reco.application.scoring import Scorer
from angle_reco.application.trained_models import TrainedModels
from angle_reco.domain.availability import is_open
from angle_reco.domain.errors import ItemNotFoundError
from angle_reco.domain.ids import ItemId
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.runs import Fence
from angle_reco.domain.stored_list import StoredLine, StoredList, with_similar
from angle_reco.ports.stores import ListStore, Written


class NoUsableListError(Exception):
    """No list is stored that the item could enter, or its recipe differs."""


@attrs.frozen(kw_only=True)
class SimilarOfOne:
    """Ranks and stores the similar items of one item; an open item enters their lists, too."""

    lists: ListStore
    models: TrainedModels
    scorer: Scorer
    as_of: datetime | None = None

    def __call__(self, item_id: ItemId, work: RunContext) -> Done:
        """Compute the list of an item.

        Raises:
            ItemNotFoundError: There is no such item.
        """
        now, catalog = self.scorer.clock.now(), self.scorer.catalog
        card = catalog.cards([item_id], at=now, until=self.as_of).get(item_id)
        if card is None:
            raise ItemNotFoundError(item_id)
        work.reached("open items", 0, 1)
        market = self.scorer.market(self.models.of_similar)
        lists = self.scorer.similar_to_one(market, card)
        written = store_one(self.lists, ListKind.SIMILAR, lists, fence=work.fence)
        entered = list[ItemId]()
        # Similarity by a model is not symmetric.
        if is_open(card, now) and lists.recipe.model == "":
            entered = self._enter_lists_of(lists.stored(0), item_id, work)
        changed = written.changed + len(entered)
        return Done(1, Written(changed=changed, unchanged=written.unchanged), 0, tuple(entered))

    def _enter_lists_of(
        self, similar: StoredList, item_id: ItemId, work: RunContext
    ) -> list[ItemId]:
        """Put an item into the lists of its similar items; return the owners of changed lists.

        Similarity is symmetric, so a line of the item's list is valid in the other list.
        """
        entered = list[ItemId]()
        for place, line in enumerate(similar.lines):
            work.reached("lists of similar items", place, len(similar))
            mirrored = attrs.evolve(line, item_id=item_id)
            was_entered = False

            def enter(stored: StoredList | None, mirrored: StoredLine = mirrored) -> StoredList:
                nonlocal was_entered
                if stored is None or stored.recipe != similar.recipe:
                    raise NoUsableListError
                made = with_similar(stored, mirrored)
                was_entered = made is not stored
                return made

            with suppress(NoUsableListError):
                self.lists.edit(ListKind.SIMILAR, line.item_id, enter)
            if was_entered:
                entered.append(line.item_id)
        return entered


def store_one(
    store: ListStore, kind: ListKind, lists: Lists, *, fence: Fence | None = None
) -> Written:
    """Store the list of one owner; if the content is unchanged, renew its timestamp.

    A complete run covers the lists that it leaves unchanged. No run covers a single list, which
    would stay stale however often it was recomputed.

    Raises:
        FencedOffError: A newer run of the job has written; this call wrote nothing.
        StorageError: The list could not be stored.
        UserErasedError: The owner of a personal list was erased.
    """

    def renewed(stored: StoredList | None) -> StoredList:
        made = lists.stored(0)
        if stored is None:
            return made
        if stored.computed_at >= made.computed_at:
            return stored
        return attrs.evolve(stored, computed_at=made.computed_at)

    written = store.write(kind, lists, fence=fence)
    if written.unchanged:
        [owner] = lists.owners
        store.edit(kind, owner, renewed)
    return written
