"""The trained model in the memory of a process, and which ranker counts with and without it.

The model is looked up, read in a thread, and replaced.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from datetime import datetime
from functools import cached_property
from threading import Lock

import attrs

from angle_reco.domain.errors import InvalidValueError, ModelError, StorageError
from angle_reco.domain.lists import ListKind
from angle_reco.domain.scoring.blended.model import Model
from angle_reco.domain.scoring.blended_ranker import BLENDED, SIMILAR_BLENDED, Weights, with_weights
from angle_reco.domain.scoring.ranking import CLASSIC, Ranker
from angle_reco.domain.stored_list import Recipe
from angle_reco.domain.whys import Wording
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import about_to_wait, deadline, time_left
from angle_reco.ports.forks import reset_in_child
from angle_reco.ports.models import ModelHead, ModelStore, Trained
from angle_reco.ports.threads import BackgroundPool
from angle_reco.settings import AUTO, Settings, SimilarBy

_log = logging.getLogger(__name__)

_SHARE_OF_A_CALL = 2
_TRIES = 3


@attrs.frozen
class Ranking:
    """A ranker of homepages, and the recipe of its lists."""

    ranker: Ranker
    recipe: Recipe


@attrs.frozen(kw_only=True)
class Rankings:
    """Returns the ranking for a model, or for none."""

    settings: Settings
    as_of: datetime | None = None
    _known: dict[tuple[str, tuple[tuple[str, int], ...]], Recipe] = attrs.field(
        factory=dict, init=False, repr=False
    )

    @cached_property
    def fixed(self) -> Ranking | None:
        """Return the ranking, if it is the same with and without a model."""
        if self.settings.ranker == BLENDED.name:
            return None
        if self.settings.ranker == AUTO:
            return None if self.as_of is None else self._ranking(CLASSIC)
        return self._ranking(self.settings.rankers[self.settings.ranker])

    @property
    def learns(self) -> bool:
        """Return whether a model would be used if there were one."""
        return self.as_of is None and (self.fixed is None or self.is_similar_learned)

    @property
    def is_similar_learned(self) -> bool:
        """Return whether similar items are those of a model, where it knows the item."""
        return self.as_of is None and self.settings.similar is SimilarBy.BLENDED

    @cached_property
    def similar(self) -> Recipe:
        """Return the recipe of similar items by a model, without its version."""
        recipes = self.settings.recipes(self.as_of, SIMILAR_BLENDED)
        return recipes.lists[ListKind.PERSONAL]

    @property
    def kept(self) -> int:
        """Return how many suggestions a stored homepage has at most."""
        return BLENDED.kept if self.fixed is None else self.fixed.ranker.kept

    @property
    def wording(self) -> dict[str, Wording]:
        """Return the words of all components in sentences, by name."""
        if self.fixed is not None:
            return self.fixed.ranker.wording
        return CLASSIC.wording | BLENDED.wording

    def of(self, model: Model | None) -> Ranking:
        """Return the ranking with a model, whose tuned weights count with `auto`, or without."""
        if self.fixed is not None:
            return self.fixed
        if model is None:
            return self._ranking(CLASSIC)
        return self.learned(model.weights, model.version)

    def learned(self, weights: Weights, version: str = "") -> Ranking:
        """Return the ranking of `blended`, with tuned *weights* if there are some."""
        tuned = weights and self.settings.ranker == AUTO
        return self._ranking(with_weights(weights) if tuned else BLENDED, version)

    def _ranking(self, ranker: Ranker, version: str = "") -> Ranking:
        key = (ranker.name, ranker.recipe.weights)
        recipe = self._known.get(key)
        if recipe is None:
            recipe = self.settings.recipes(self.as_of, ranker).lists[ListKind.PERSONAL]
            self._known[key] = recipe
        return Ranking(ranker, attrs.evolve(recipe, model=version))


@attrs.frozen
class _Known:
    """What was stored when it was last looked up, and the model that is in memory.

    *weights* are the tuned ones that can be used, if there are any. *head* is that of the model.
    The newest model cannot be used because of a *problem*.
    """

    trained: Trained | None = None
    weights: Weights = ()
    model: Model | None = None
    head: ModelHead | None = None
    problem: str | None = None

    @property
    def is_unread(self) -> bool:
        """Return whether a model is stored that was not read yet."""
        newest = None if self.trained is None else self.trained.model
        return newest is not None and newest != self.head and self.problem is None


@attrs.define(kw_only=True, eq=False)
class TrainedModels:
    """The newest usable model, for the settings that need one, and which lists may be shown.

    With `auto` a model is used if one is stored. Where it cannot be used, and with `blended` until
    there is one, `classic` stands in for it, which answers show as degraded. A new model is read in
    a thread, unless *reads_behind* is false; the old one is used until then.

    With a cache, `check_store` is called whenever the open items are read again; without
    (*has_cache*), calls check every *live_for*.
    """

    store: ModelStore
    rankings: Rankings
    clock: Clock
    settings: Settings
    reads_behind: bool = True
    has_cache: bool = True
    on_change: Callable[[], object] = lambda: None
    _known: _Known = attrs.field(factory=_Known, init=False)
    _checks_at: float = attrs.field(default=float("-inf"), init=False)
    _lock: Lock = attrs.field(factory=Lock, init=False)
    _pool: BackgroundPool = attrs.field(factory=lambda: BackgroundPool("models", 1), init=False)

    def __attrs_post_init__(self) -> None:
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Make a new lock: another thread of the parent may hold the old one."""
        self._lock = Lock()

    @property
    def newest(self) -> Model | None:
        """Return the newest usable model, None if there is none.

        Raises:
            StorageUnavailableError: Nothing is known yet, and the store did not answer.
        """
        self._check_if_due()
        return self._known.model

    @property
    def of_similar(self) -> Model | None:
        """Return the newest usable model if similar items are those of a model."""
        return self.newest if self.rankings.is_similar_learned else None

    def required(self) -> Model | None:
        """Return the newest stored model, however long it takes to read; None if there is none.

        Raises:
            ModelError: It cannot be used.
            StorageUnavailableError: The store did not answer.
        """
        if not self.rankings.learns:
            return None
        for _ in range(_TRIES):
            trained = self.store.trained()
            self._note(trained)
            if self._known.is_unread:
                self._read(trained)
            if self._known.problem is not None:
                raise ModelError(self._known.problem)
            if not self._known.is_unread:
                return self._known.model
        raise ModelError("was replaced each time that it was read")

    def check_store(self) -> None:
        """Look up what is stored, and have a new model read.

        Raises:
            StorageUnavailableError: The store did not answer.
        """
        if not self.rankings.learns:
            return
        about_to_wait()
        trained = self.store.trained()
        self._note(trained)
        if not self._known.is_unread:
            return
        if not self.reads_behind:
            self._read_safely(trained)
            return
        # Without the deadline of this call.
        self._pool.submit(lambda: Context().run(self._read_safely, trained))
        left = time_left()
        seconds = self.settings.deadline.total_seconds() if left is None else left
        self._pool.settle(seconds / _SHARE_OF_A_CALL)

    def check_in_background(self) -> None:
        """Look up what is stored in a thread, and read it."""
        if self.rankings.learns and self._known.model is not None:

            def check() -> None:
                with deadline(self.settings.deadline.total_seconds()):
                    trained = self.store.trained()
                self._note(trained)
                if self._known.is_unread:
                    self._read(trained)

            with suppress(RuntimeError):  # No thread can be started any more.
                self._pool.submit(lambda: Context().run(check))

    def settle(self, seconds: float) -> None:
        """Wait until a model that is being read has been read, at most that long."""
        self._pool.settle(seconds)

    def is_usable(self, recipe: Recipe) -> bool:
        """Return whether homepages of a recipe may be shown.

        Raises:
            StorageUnavailableError: Nothing is known yet, and the store did not answer.
        """
        fixed = self.rankings.fixed
        if fixed is not None:
            return recipe == fixed.recipe
        self._check_if_due()
        if recipe.name == BLENDED.name:
            return self._wants_model and recipe == self.rankings.learned(self._known.weights).recipe
        return self._known.model is None and recipe == self.rankings.of(None).recipe

    def is_substitute(self, recipe: Recipe) -> bool:
        """Return whether a list of `classic` stands in for one that needs a model."""
        if self.rankings.fixed is not None or recipe.name != CLASSIC.name:
            return False
        return self._wants_model

    @property
    def _wants_model(self) -> bool:
        trained = self._known.trained
        return self.settings.ranker != AUTO or (trained is not None and trained.model is not None)

    def _check_if_due(self) -> None:
        is_first = self._known.trained is None
        if is_first or (not self.has_cache and self.clock.monotonic() >= self._checks_at):
            self.check_store()

    def _note(self, trained: Trained) -> None:
        weights = self._weights_of(trained)
        with self._lock:
            before = self._known
            self._checks_at = self.clock.monotonic() + self.settings.live_for.total_seconds()
            if before.trained == trained:
                return
            if trained.model is None:
                self._known = _Known(trained, weights)
            else:
                model = None if before.model is None else _weighted(before.model, weights)
                self._known = _Known(trained, weights, model, before.head)
        if before.trained is not None:
            self.on_change()

    def _weights_of(self, trained: Trained) -> Weights:
        """Return the tuned weights, none if they cannot be used: then the shipped ones count."""
        known, tuned = self._known, trained.weights
        if known.trained is not None and known.trained.weights == tuned:
            return known.weights
        if tuned is None:
            return ()
        try:
            with_weights(tuned.pairs)
        except InvalidValueError as error:
            problem = f"{error.what} should be {error.expected}"
            _log.error("tuned weights not used: problem=%s", problem)
            return ()
        return tuned.pairs

    def _read_safely(self, trained: Trained) -> None:
        try:
            self._read(trained)
        except StorageError as error:
            # The next check tries again.
            _log.warning("model not read: error=%s", type(error).__name__)

    def _read(self, trained: Trained) -> None:
        head, known = trained.model, self._known
        if head is None:
            return
        try:
            if head.size > self.settings.model_bytes:
                raise ModelError(
                    f"has {head.size} bytes, but model_bytes is {self.settings.model_bytes}"
                )
            if known.model is not None and _have_equal_rows(known.head, head):
                model = attrs.evolve(known.model, touches=self.store.read_touches(head))
            else:
                model = self.store.read(head)
            read = _Known(trained, known.weights, _weighted(model, known.weights), head)
        except ModelError as error:
            if self.store.trained() != trained:
                # It was replaced while it was read: the next check reads the newer one.
                return
            _log.error("model not used: problem=%s", error.problem)
            read = _Known(trained, known.weights, problem=error.problem)
        with self._lock:
            if self._known.trained == trained:
                self._known = read
        self.on_change()


def _weighted(model: Model, weights: Weights) -> Model:
    return model if model.weights == weights else attrs.evolve(model, weights=weights)


def _have_equal_rows(one: ModelHead | None, other: ModelHead) -> bool:
    """Return whether models differ at most in the counts of touches."""
    return one is not None and (one.version, one.revision) == (other.version, other.revision)
