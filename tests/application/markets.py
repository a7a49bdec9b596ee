"""Random small marketplaces with many ties, and all that can be asked of one."""

from datetime import timedelta
from decimal import Decimal
from random import Random

from hypothesis import strategies as st

from angle_reco import CategoryId, ItemId, Recommender, Shelf, UserId
from angle_reco.testing import AuctionStatus, Bid, Item, MemoryMarketplace, User, Watch
from tests.application.shop import DAY, HOUR, NOW, TICK

USERS = ("ann", "bob", "eve", "zoe")
ITEMS = tuple(f"lot-{number:02}" for number in range(1, 31))
CATEGORIES = ("art", "books", "coins", "dolls", "eggs", "furs")
UNKNOWN = "nobody"

_AGES = (0 * DAY, HOUR, DAY, 7 * DAY, 8 * DAY, 10 * DAY, 10 * DAY - TICK, 11 * DAY, 31 * DAY)
_OLD = (*_AGES, 40 * DAY, 89 * DAY, 90 * DAY, 100 * DAY, 101 * DAY)
_LEFT = (-20 * DAY, -10 * DAY, -DAY, 0 * DAY, TICK, DAY, 7 * DAY, 7 * DAY + TICK, 60 * DAY)
_PRICES = (0, 1, 2, 50, 100, 150, 201)


def marketplaces() -> st.SearchStrategy[MemoryMarketplace]:
    """Return marketplaces of a few items in few categories, and of what a few users did.

    Sizes are drawn, so that failures get smaller; the rest follows from a seed, which is
    faster and fills more evenly.
    """
    return st.builds(
        marketplace,
        items=st.sampled_from([0, 1, 3, 10, 20, 30]),
        categories=st.sampled_from([1, 2, 3, 6]),
        did=st.sampled_from([0, 1, 5, 20, 60]),
        crowd=st.sampled_from([0, 0, 6, 11]),
        seed=st.integers(0, 2**32),
    )


def marketplace(
    *, items: int, categories: int, did: int, crowd: int, seed: int
) -> MemoryMarketplace:
    random = Random(seed)
    users = [_user(name, random) for name in (*USERS, *(f"crowd-{n}" for n in range(crowd)))]
    listed = [_item(name, CATEGORIES[:categories], random) for name in ITEMS[:items]]
    market = MemoryMarketplace(users=users, items=listed)
    if not listed:
        return market
    loved = random.choice(listed)
    acts = [(random.choice(users[: len(USERS)]), random.choice(listed)) for _ in range(did)]
    acts += [(user, loved) for user in users[len(USERS) :]]
    for user, item in acts:
        # Nobody does anything before they are there, nor to what is not there yet.
        since = [one for one in (user.created_at, item.listed_at) if one is not None]
        moment = max([NOW - random.choice(_OLD), *since])
        if str(user.user_id) not in USERS or random.random() < 0.4:
            market.add_watch(Watch(user_id=user.user_id, item_id=item.item_id, watched_at=moment))
        else:
            amount = random.choice((None, *_PRICES))
            bid = Bid(
                user_id=user.user_id,
                item_id=item.item_id,
                amount=None if amount is None else Decimal(amount),
                placed_at=moment,
            )
            market.bids.setdefault(item.item_id, []).append(bid)
    return market


def _user(name: str, random: Random) -> User:
    return User(
        user_id=UserId(name),
        created_at=random.choice((None, NOW - random.choice(_OLD))),
        last_sign_in_at=random.choice((None, NOW - random.choice(_AGES))),
        sign_in_count=random.randrange(3),
    )


def _item(name: str, categories: tuple[str, ...], random: Random) -> Item:
    def around(spans: tuple[timedelta, ...]) -> timedelta | None:
        return random.choice((None, random.choice(spans)))

    left, price = around(_LEFT), random.choice((None, *_PRICES))
    starts = around(_LEFT)
    return Item(
        item_id=ItemId(name),
        category_id=random.choice((None, *(CategoryId(one) for one in categories * 2))),
        seller_id=random.choice((None, None, None, *(UserId(one) for one in USERS))),
        title=f"the {name}",
        starting_price=None if price is None else Decimal(price),
        is_published=random.random() < 0.93,
        status=random.choice((*[None] * 9, AuctionStatus.ACTIVE, random.choice([*AuctionStatus]))),
        starts_at=None if starts is None else NOW + starts,
        ends_at=None if left is None else NOW + left,
        listed_at=random.choice((None, NOW - random.choice(_OLD))),
    )


def shelves(reco: Recommender) -> dict[str, Shelf]:
    """Return every shelf that users, a stranger and visitors can see, by its name."""
    there = reco.ports.catalog.cards([ItemId(one) for one in ITEMS], at=NOW, until=reco.as_of)
    known = sorted(str(item_id) for item_id in there)
    answers = {}
    for user in (*USERS, UNKNOWN):
        view = reco.as_user(user)
        answers[f"homepage of {user}"] = view.homepage()
        answers[f"popular for {user}"] = view.popular_items()
        for item in known[:2]:
            answers[f"similar to {item} for {user}"] = view.similar_items(item)
            answers[f"after a bid of {user} on {item}"] = view.after_bid(item, assume_bid=True)
    for item in known[2:8]:
        answers[f"similar to {item}"] = reco.anonymous.similar_items(item, 20)
    for category in CATEGORIES:
        answers[f"popular in {category}"] = reco.anonymous.popular_items(category=category)
    answers["popular"] = reco.anonymous.popular_items(7)
    return answers


def everything_said(reco: Recommender) -> dict[str, object]:
    """Return the suggestions of every shelf and the interests of everybody."""
    said: dict[str, object] = {name: list(shelf) for name, shelf in shelves(reco).items()}
    for user in (*USERS, UNKNOWN):
        said[f"interests of {user}"] = reco.as_user(user).interests()
    return said


def stored_of(reco: Recommender) -> dict[str, object]:
    """Return everything that jobs have stored."""
    stored: dict[str, object] = {}
    for user in USERS:
        stored[f"interests of {user}"] = reco.system.stored.get_interests(of=user)
        stored[f"homepage of {user}"] = reco.system.stored.get_recommendations(of=user)
    for item in ITEMS:
        stored[f"similar to {item}"] = reco.system.stored.find_similar_items(item)
    return stored
