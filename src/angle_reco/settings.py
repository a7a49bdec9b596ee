"""The settings of a host; `docs/api.md` lists them with their defaults."""

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import attrs

from angle_reco.domain.errors import InvalidValueError, one_of
from angle_reco.domain.fingerprints import Fingerprints
from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.domain.ids import IdKinds
from angle_reco.domain.languages import Language, OwnTranslations, check_language
from angle_reco.domain.lists import ListKind, Recipes
from angle_reco.domain.popular import POPULAR_RECIPE
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.runs import RunRules
from angle_reco.domain.schedules import JobRule, Queue
from angle_reco.domain.scoring.after_bid import AfterBidRule
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.popularity import PopularityRule
from angle_reco.domain.scoring.ranking import CLASSIC, Ranker
from angle_reco.domain.scoring.similarity import SimilarityRule
from angle_reco.domain.type_checks import is_a, is_mapping, plain, plain_text
from angle_reco.domain.validators import flag, function, whole


def _freshness() -> dict[ListKind, FreshnessLimits]:
    # Similar items are computed once a day: 30 hours let that run be six hours late.
    limits = {kind: FreshnessLimits() for kind in ListKind}
    limits[ListKind.SIMILAR] = FreshnessLimits(fresh_for=timedelta(hours=30))
    return limits


def _workers() -> dict[Queue, int]:
    return {Queue.DEFAULT: 10, Queue.RECOMMENDATIONS: 10, Queue.RECOMMENDATIONS_SLOW: 3}


class Verify(StrEnum):
    """Where an answer looks up which items may be shown: in memory, or also in the database."""

    IN_MEMORY = "in_memory"
    ALWAYS = "always"


_Choice = TypeVar("_Choice", bound=StrEnum)

AUTO = "auto"
"""The name of the ranker that is `blended` with a trained model, and `classic` without."""


def _folder_of_models() -> Path:
    return Path(tempfile.gettempdir()).absolute() / f"angle_reco-{os.getuid()}"


class SimilarBy(StrEnum):
    """What decides which items are similar: the rule of similarity, or the trained model."""

    CLASSIC = "classic"
    BLENDED = "blended"


def _verify(value: Verify | str) -> Verify:
    return _member(Verify, value, "verify")


def _similar_by(value: SimilarBy | str) -> SimilarBy:
    return _member(SimilarBy, value, "similar")


def _member(choices: type[_Choice], value: object, what: str) -> _Choice:
    name = plain(value) if is_a(value, str) else None
    if name not in set(choices):
        raise InvalidValueError(what, value, one_of([one.value for one in choices]))
    return choices(name)


def _random_key() -> str:
    return secrets.token_hex(16)


@attrs.frozen(kw_only=True)
class Settings:
    """The rules and their weights, the kinds of ids, and how long results stay usable.

    *ranker* is the name of the ranker of homepages: `classic`, `blended`, one of the host's
    *presets*, or `auto`, which is `blended` once there is a trained model. Items are *similar* by
    the rule of *similarity* (`classic`), or by the model (`blended`) where it knows the item. A
    process keeps a model of at most *model_bytes* in memory, which it shares with the others of the
    machine by a file in *model_folder*; None shares nothing.
    A call waits for the database at most *deadline*; jobs have a hundred times as long for a
    unit of work. Log lines contain a hash of a user's id, keyed by *log_key*. The default key
    is random in each process: set one to follow a user through several processes.

    *schedule* replaces rows of the job schedule, by job name; *workers* is how many runs of
    each queue a process executes at once. Scheduled runs keep the database busy for at most
    the share *pace* of their time.

    With *cache_enabled* a process caches lists and open items, in *cache_bytes* together, of
    which open items take at most half. Open items are read again every *live_for*. If
    *verify* is `always`, every answer looks its items up in the database, too.

    Sentences are in *language*: `en`, `de`, `es` or `fr`, or what a function returns for the
    current request. *translations* returns gettext translations of the host for a language; what
    they lack is said in the words of the package.

    *strict_events* is for development and test suites: an event raises `InvalidValueError`
    where it would log a warning.
    """

    ids: IdKinds = attrs.field(factory=IdKinds)
    prices: PriceScale = attrs.field(factory=PriceScale)
    interest: InterestRule = attrs.field(factory=InterestRule)
    similarity: SimilarityRule = attrs.field(factory=SimilarityRule)
    popularity: PopularityRule = attrs.field(factory=PopularityRule)
    after_bid: AfterBidRule = attrs.field(factory=AfterBidRule)
    ranker: str = attrs.field(default=AUTO, converter=plain_text)
    presets: tuple[Ranker, ...] = ()
    similar: SimilarBy = attrs.field(default=SimilarBy.CLASSIC, converter=_similar_by)
    active_for: timedelta = timedelta(days=30)
    deadline: timedelta = timedelta(seconds=2)
    schedule: Mapping[str, JobRule] = attrs.field(factory=dict)
    workers: Mapping[Queue, int] = attrs.field(factory=_workers)
    runs: RunRules = attrs.field(factory=RunRules)
    pace: float = 0.5
    log_key: str = attrs.field(factory=_random_key, converter=plain_text, repr=False, eq=False)
    interests_freshness: FreshnessLimits = attrs.field(factory=FreshnessLimits)
    freshness: Mapping[ListKind, FreshnessLimits] = attrs.field(factory=_freshness)
    cache_enabled: bool = True
    cache_bytes: int = 100_000_000
    live_for: timedelta = timedelta(seconds=60)
    model_bytes: int = 256_000_000
    model_folder: Path | None = attrs.field(factory=_folder_of_models, eq=False)
    verify: Verify = attrs.field(default=Verify.IN_MEMORY, converter=_verify)
    language: Language = "en"
    translations: OwnTranslations | None = attrs.field(default=None, repr=False)
    strict_events: bool = False

    def __attrs_post_init__(self) -> None:
        for name, kind in _KINDS.items():
            if not is_a(getattr(self, name), kind):
                raise InvalidValueError(
                    name, getattr(self, name), f"an instance of {kind.__name__}"
                )
        presets, names = self.presets, [AUTO, CLASSIC.name, BLENDED.name]
        if type(presets) is not tuple or not all(is_a(one, Ranker) for one in presets):
            raise InvalidValueError("presets", presets, "a tuple of instances of Ranker")
        names += [one.name for one in presets]
        if len(set(names)) < len(names):
            raise InvalidValueError("names of rankers", names, "distinct names")
        known = [AUTO, *self.rankers]
        if type(self.ranker) is not str or self.ranker not in known:
            raise InvalidValueError("ranker", self.ranker, one_of(known))
        span = self.active_for
        if type(span) is not timedelta or not timedelta(0) < span <= timedelta(days=36_500):
            raise InvalidValueError("active_for", span, "a span of up to a hundred years")
        if type(self.deadline) is not timedelta or not _A_MOMENT <= self.deadline <= _AN_HOUR:
            raise InvalidValueError("deadline", self.deadline, "a span from 10 ms to an hour")
        self._check_jobs()
        self._check_cache()
        flag(self.strict_events, "strict_events")
        if self.translations is not None:
            function(self.translations, "translations")
        check_language(self.language, has_own=self.translations is not None)
        if type(self.log_key) is not str or not self.log_key or _SURROGATE.search(self.log_key):
            # The error leaves out the value, which is a secret.
            raise InvalidValueError(
                "log_key", type(self.log_key).__name__, "a text that is not empty, in UTF-8"
            )
        limits = self.freshness
        if not is_mapping(limits) or not all(
            is_a(limits.get(kind), FreshnessLimits) for kind in ListKind
        ):
            raise InvalidValueError("freshness", limits, "FreshnessLimits for each ListKind")

    def _check_jobs(self) -> None:
        rules = self.schedule
        if not is_mapping(rules) or not all(
            type(job) is str and is_a(rule, JobRule) for job, rule in rules.items()
        ):
            raise InvalidValueError("schedule", rules, "JobRules by the names of jobs")
        if not is_mapping(self.workers):
            raise InvalidValueError("workers", self.workers, "numbers of workers by Queue")
        for queue in Queue:
            whole(self.workers.get(queue), f"workers of the queue {queue}", least=1, most=1_000)
        pace = self.pace
        if type(pace) not in (int, float) or not 0.01 <= pace <= 1:
            raise InvalidValueError("pace", pace, "a share of time from 0.01 to 1")

    def _check_cache(self) -> None:
        if type(self.cache_enabled) is not bool:
            raise InvalidValueError("cache_enabled", self.cache_enabled, "True or False")
        whole(self.cache_bytes, "cache_bytes", least=1_000_000, most=2**40)
        whole(self.model_bytes, "model_bytes", least=1_000_000, most=2**40)
        folder = self.model_folder
        if folder is not None and not (type(folder) is _PATH and folder.is_absolute()):
            raise InvalidValueError("model_folder", folder, "an absolute Path, or None")
        if type(self.live_for) is not timedelta or not _A_SECOND <= self.live_for <= _AN_HOUR:
            raise InvalidValueError("live_for", self.live_for, "a span from a second to an hour")

    @property
    def fingerprints(self) -> Fingerprints:
        """Return the hashes that stand for users in log lines."""
        return Fingerprints(hashlib.blake2b(self.log_key.encode()).digest())

    @property
    def rankers(self) -> dict[str, Ranker]:
        """Return every ranker by its name: `classic`, `blended` and the presets."""
        return {ranker.name: ranker for ranker in (CLASSIC, BLENDED, *self.presets)}

    @property
    def version(self) -> str:
        """Return a short text that differs if stored results of equal data could."""
        rules = (self.interest, self.similarity, self.popularity, self.rankers.get(self.ranker))
        return _fingerprint(self.ids, self.prices, *rules, self.similar, self.active_for)

    def recipes(self, as_of: datetime | None = None, ranker: Ranker = CLASSIC) -> Recipes:
        """Return the recipes that mark results of these settings, as of now or of a moment.

        *ranker* is that of homepages. The recipes as of a moment contain it, so that such results
        are never used as current.
        """
        made_by = {
            ListKind.SIMILAR: (self.similarity.recipe, self.similarity),
            ListKind.PERSONAL: (ranker.recipe, (ranker, self.interest)),
            ListKind.POPULAR: (POPULAR_RECIPE, None),
        }
        return Recipes(
            lists={
                kind: attrs.evolve(recipe, rules=_fingerprint(rules, self.popularity, as_of))
                for kind, (recipe, rules) in made_by.items()
            },
            interests=_fingerprint(self.interest, as_of),
        )


_PATH = type(Path())

_SURROGATE = re.compile("[\ud800-\udfff]")
_A_MOMENT, _A_SECOND = timedelta(milliseconds=10), timedelta(seconds=1)
_AN_HOUR = timedelta(hours=1)


def _fingerprint(*rules: object) -> str:
    """Return a short text that differs whenever a value of the rules differs."""
    return hashlib.blake2s(repr(rules).encode(), digest_size=6).hexdigest()


_KINDS = {
    "ids": IdKinds,
    "prices": PriceScale,
    "interest": InterestRule,
    "similarity": SimilarityRule,
    "popularity": PopularityRule,
    "after_bid": AfterBidRule,
    "interests_freshness": FreshnessLimits,
    "runs": RunRules,
}
"""The class of each setting that is a value of the domain."""
