"""The components of a ranker's score: the three of `classic`, and those of a host."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import partial
from pathlib import PurePath
from typing import Any, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from angle_reco.domain.arrays import Floats, Int32s, Int64s, frozen
from angle_reco.domain.errors import ComponentError, InvalidValueError
from angle_reco.domain.millionths import ONE, Millionths, weighted
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.stored_list import BY_HAND
from angle_reco.domain.type_checks import plain
from angle_reco.domain.validators import exactly, function, instance, whole
from angle_reco.domain.whys import Wording

Values: TypeAlias = Callable[[OpenMarket, Profiles, Int64s, Int64s], Int64s]
"""The rule of a component: its values for pairs, in millionths from 0 to 1,000,000.

The arguments are the market, the profiles, and for each pair the place of the user in the
profiles and the row of the item in the market; all are read-only. A value depends on its pair
alone, not on the other pairs of the call.
"""

Estimate: TypeAlias = Callable[[OpenMarket, Profiles, int], Floats]
"""The values for the user at a place in the profiles and every row, off by 2 millionths at most.

They only decide for which rows the exact values are computed.
"""


class DependsOn(StrEnum):
    """What can change the value of a component; the less, the faster are homepages."""

    ITEM = "item"
    CATEGORY = "category"
    """The user, and the category of the item."""
    PAIR = "pair"
    """The user and the item."""


@attrs.frozen(kw_only=True)
class Component:
    """One component of a ranker's score.

    The *name* names its contribution in answers, exports and recipes, and *label* is its word
    in explanations, by default the name. *sentence* is that of a suggestion to which this
    component adds most; without it, the sentence says the reason. *data* says which
    data the values come from. *estimate* is where that is quicker than *values* for every row. A
    change of *version* invalidates stored lists, as a change of a weight does.
    """

    name: str = attrs.field(converter=plain)
    version: int = 1
    label: str = attrs.field(
        default=attrs.Factory(lambda one: str(one.name).replace("_", " "), takes_self=True),
        repr=False,
    )
    sentence: str = attrs.field(default="", repr=False)
    data: str = attrs.field(repr=False)
    depends_on: DependsOn = DependsOn.PAIR
    values: Values = attrs.field(repr=False)
    estimate: Estimate | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        check_name(self.name, "name of a component")
        if self.name == BY_HAND:
            raise InvalidValueError("name of a component", self.name, "another name")
        whole(self.version, f"version of {self.name}", least=1, most=1_000_000)
        for name, least in (("label", 1), ("sentence", 0), ("data", 1)):
            text = exactly(getattr(self, name), f"{name} of {self.name}", str)
            if not (least <= len(text) <= _LONGEST_TEXT and text.isprintable()):
                expected = f"one line of {least} to {_LONGEST_TEXT} characters"
                raise InvalidValueError(f"{name} of {self.name}", text, expected)
        instance(self.depends_on, f"depends_on of {self.name}", DependsOn)
        function(self.values, f"values of {self.name}")
        if self.estimate is not None:
            function(self.estimate, f"estimate of {self.name}")

    @property
    def wording(self) -> Wording:
        """Return the words of the component in sentences."""
        return Wording(self.label, self.sentence)


def check_name(name: object, what: str) -> str:
    """Return the name of a component or of a ranker, which is an identifier.

    Raises:
        InvalidValueError: It is none, or too long.
    """
    text = exactly(name, what, str)
    if len(text) > _LONGEST_NAME or not text.isidentifier():
        expected = f"at most {_LONGEST_NAME} letters, digits and _"
        raise InvalidValueError(what, text, expected)
    return text


_LONGEST_NAME = 100
_LONGEST_TEXT = 200


def _interest(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
    return profiles.interest_in(market.catalogue.category[rows], users)


def _popularity(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
    return market.popularity[rows]


def _recency(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
    return market.recency[rows]


INTEREST = Component(
    name="interest",
    data="the user's bids and watches within the window of the interest rule",
    depends_on=DependsOn.CATEGORY,
    values=_interest,
)
"""How strongly the user is drawn to the category of the item."""

POPULARITY = Component(
    name="popularity",
    label="demand",
    data="the bids and watchers of the item",
    depends_on=DependsOn.ITEM,
    values=_popularity,
)
"""How much other users want the item."""

RECENCY = Component(
    name="recency",
    label="timing",
    data="the status and the end of the auction",
    depends_on=DependsOn.ITEM,
    values=_recency,
)
"""Whether the auction is active, and how soon it ends."""

COMPONENTS = {one.name: one for one in (INTEREST, POPULARITY, RECENCY)}
"""The components that the package has, by name."""


def contributions(
    market: OpenMarket,
    profiles: Profiles,
    users: Int64s,
    rows: Int64s,
    weights: Iterable[tuple[Component, Millionths]],
) -> Int32s:
    """Return the contribution of each component, a row per pair and a column per component.

    A component without weight is not computed.

    Raises:
        ComponentError: A component failed, or its values are unusable.
    """
    parts = [
        weighted(values_of(component, market, profiles, users, rows), weight)
        if weight
        else np.zeros(len(rows), np.int64)
        for component, weight in weights
    ]
    return np.stack(parts, axis=1, dtype=np.int32) if parts else np.empty((len(rows), 0), np.int32)


def values_of(
    component: Component, market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s
) -> Int64s:
    """Return the values of a component for pairs, checked.

    Raises:
        ComponentError: The component failed, or its values are unusable.
    """
    pairs = (frozen(users), frozen(rows))
    found = _checked(
        component, partial(component.values, market, profiles, *pairs), rows.shape, "iu"
    )
    return found.astype(np.int64, copy=False)


def _checked(
    component: Component, values: Callable[[], object], shape: tuple[int, ...], kinds: str
) -> npt.NDArray[Any]:
    try:
        found = values()
    except ComponentError:
        raise
    except Exception as error:
        problem = f"raised {type(error).__name__}{_place_of(error)}"
        raise ComponentError(component.name, problem) from error
    # A derived class may hide values, as masked arrays do, or redefine the checks below.
    if type(found) is not np.ndarray or found.dtype.kind not in kinds or found.shape != shape:
        kind = found.dtype if type(found) is np.ndarray else type(found).__name__
        had = getattr(found, "shape", "no shape")
        problem = f"returned {kind} of {had}, but should return integers of {shape}"
        raise ComponentError(component.name, problem)
    # Estimates are floats, and may be off by a little. One that is too high selects a row whose
    # exact score is then compared with it.
    is_estimate = found.dtype.kind == "f"
    least = -2 if is_estimate else 0
    if len(found) and not (found.min() >= least and (is_estimate or found.max() <= ONE)):
        problem = f"returned {found.min()} to {found.max()}, but should return 0 to {ONE}"
        raise ComponentError(component.name, problem)
    return found


def _place_of(error: Exception) -> str:
    """Return the line of the component that failed; the text of *error* may hold data of users."""
    ours = error.__traceback__
    theirs = ours and ours.tb_next
    if theirs is None:
        return ""
    return f" in {PurePath(theirs.tb_frame.f_code.co_filename).name}, line {theirs.tb_lineno}"


def estimates(
    component: Component, market: OpenMarket, profiles: Profiles, user: int
) -> Floats | Int64s:
    """Return the values of a component for a user and every row, almost, or exactly.

    Raises:
        ComponentError: The component failed, or its values are unusable.
    """
    size = len(market)
    if component.estimate is None:
        return values_of(component, market, profiles, np.full(size, user), np.arange(size))
    return _checked(component, partial(component.estimate, market, profiles, user), (size,), "iuf")


def check_dependence(
    weights: Iterable[tuple[Component, Millionths]],
    scores: Int64s,
    ordered_by: Int64s | Floats,
    *,
    within: Millionths = 0,
) -> None:
    """Refuse lines whose *scores* are not those that they were *ordered_by*, or *within* these.

    The order uses the value of another pair where a component does not depend on the pair, and
    of an earlier call where it does.

    Raises:
        ComponentError: They differ; it names the components that are not of the package.
    """
    if np.abs(scores - ordered_by).max(initial=0) > within:
        names = [one.name for one, _ in weights if one not in COMPONENTS.values()]
        problem = "depends on more than its depends_on declares, or differs from call to call"
        raise ComponentError(", ".join(names), problem)
