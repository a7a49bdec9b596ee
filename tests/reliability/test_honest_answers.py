"""Holds that no answer shows what may not be shown, while items close, bids come and hosts edit."""

import random
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from time import monotonic
from typing import Generic, TypeVar

import attrs

from angle_reco import ItemId, Recommender, Settings, Shelf, UserId
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import memory_ports
from angle_reco.domain.auction_status import OPEN_STATUSES
from angle_reco.testing import AuctionStatus, Item
from tests.application.memories import CachingShop, settle
from tests.application.shop import NOW, bid, filled, lot, watch
from tests.reliability.trials import seeded, sized, together

USERS = [f"user-{number}" for number in range(12)]
CATEGORIES = ("art", "toy", "car")
AN_ITEM_EVERY = 40
"""Of so many steps that change items one adds another."""

HEARD_WITHIN = timedelta(seconds=2)
"""So long may another process take to hear of something."""

A_SHOP = 1_000
"""So many answers are given on one shop: later most of it is over, and much has been bid on."""

_T = TypeVar("_T")


# One thread, and a clock moved by hand: after each step the truth is known.


@attrs.frozen
class State(Generic[_T]):
    """What was so since a moment, and by which of the processes that was told."""

    value: _T
    at: datetime
    by: int | None  # None of what was so before there were processes


@attrs.define
class History(Generic[_T]):
    """What was so of something, the newest last."""

    states: deque[State[_T]] = attrs.field(factory=deque)

    def add(self, state: State[_T]) -> None:
        """Note what is so from now on."""
        self.states.append(state)
        # What both have heard of since counts for nobody.
        while len(self.states) > 1 and self.states[1].at <= state.at - HEARD_WITHIN:
            self.states.popleft()

    def known_to(self, process: int, now: datetime) -> list[_T]:
        """Return what a process may take for the truth: what it knows, and all that is newer."""
        known = list[_T]()
        for state in reversed(self.states):
            known.append(state.value)
            if state.by in (process, None) or state.at <= now - HEARD_WITHIN:
                break
        return known


@attrs.define
class Market:
    """A shop, the two processes that serve it, and what is true of it."""

    chance: random.Random
    one: CachingShop
    processes: tuple[Recommender, Recommender]
    items: dict[str, History[Item]] = attrs.field(factory=dict)
    bids: set[tuple[str, str]] = attrs.field(factory=set)
    watches: set[tuple[str, str]] = attrs.field(factory=set)
    engaged: dict[tuple[str, str], History[bool]] = attrs.field(factory=dict)
    counts: Counter[str] = attrs.field(factory=Counter)
    shown: dict[str, tuple[object, ...]] = attrs.field(factory=dict)
    recent: str = USERS[0]
    last: str = ""

    @classmethod
    def of(cls, chance: random.Random, counts: Counter[str]) -> "Market":
        """Open one, of which nothing is in memory yet."""
        items = [_new_item(chance, f"item-{number:02}") for number in range(60)]
        bids = {(chance.choice(USERS), str(chance.choice(items).item_id)) for _ in range(30)}
        watches = {(chance.choice(USERS), str(chance.choice(items).item_id)) for _ in range(15)}
        happened = [bid(*pair) for pair in sorted(bids)], [watch(*pair) for pair in sorted(watches)]
        market = filled(items, *happened[0], *happened[1], users=USERS)
        one = CachingShop.of(market, Settings())
        made = cls(chance, one, (one.reco, one.another()), bids=bids, watches=watches)
        made.counts = counts
        for item in items:
            made.items[str(item.item_id)] = History(deque([State(item, NOW, None)]))
        for pair in bids | watches:
            made.engaged[pair] = History(deque([State(True, NOW, None)]))
        return made

    @property
    def now(self) -> datetime:
        """Return the moment of all that happens in a step."""
        return self.one.clock.now()

    # Steps.

    def step(self) -> None:
        """Do something, and look at it if it is an answer."""
        # What is made behind answers is done by now, or goes on during the step.
        if self.chance.random() < 0.7:
            settle(*self.processes)
        [what] = self.chance.choices(list(_STEPS), weights=list(_STEPS.values()))
        process = self.chance.randrange(2)
        self.last = f"{what.__name__} in {process} at {self.now}"
        self.counts[what.__name__] += 1
        what(self, process)

    def answer(self, process: int) -> None:
        """Ask for a page, and hold it against the truth."""
        item = self.chance.choice(list(self.items))
        # Whoever has just done something looks at once at what has come of it.
        user = self.chance.choice([self.recent, self.chance.choice(USERS)])
        viewer = self.chance.choice([user, user, None])
        view = self.processes[process]
        view_of = view.anonymous if viewer is None else view.as_user(viewer)
        surface = self.chance.choice(["homepage", "similar_items", "after_bid", "popular_items"])
        category = self.chance.choice([None, *CATEGORIES])
        hides_engaged = surface in ("homepage", "after_bid")
        match surface:
            case "homepage":
                viewer, limit = user, self.chance.choice([1, 5, 20, 40])
                shelf = view.as_user(user).homepage(limit)
            case "similar_items":
                shelf = view_of.similar_items(item, self.chance.choice([1, 8, 20]))
            case "after_bid":
                viewer = user
                assume_bid = self.chance.random() < 0.3
                shelf = view.as_user(user).after_bid(
                    item, self.chance.choice([1, 8, 20]), assume_bid=assume_bid
                )
            case _:
                shelf = view_of.popular_items(self.chance.choice([1, 20, 60]), category=category)
        if hides_engaged:
            self.shown[user] = shelf.ids
        self.counts[surface] += 1
        self.counts["shown"] += len(shelf)
        of = f"{surface} of {viewer} (item {item}) in {process} at {self.now}"
        assert [one.rank for one in shelf] == list(range(1, len(shelf) + 1)), of
        assert len(set(shelf.ids)) == len(shelf), of
        assert not shelf.degraded_by, of
        if surface in ("similar_items", "after_bid"):
            assert ItemId(item) not in shelf.ids, of
        for shown in map(str, shelf.ids):
            why_not = self.why_not(shown, viewer, process, hides_engaged=hides_engaged)
            assert not why_not, f"{of} shows {shown}: {why_not}, {self.items[shown]}"

    def why_not(
        self, item: str, viewer: str | None, process: int, *, hides_engaged: bool
    ) -> str | None:
        """Return why a process must not show an item to somebody, None if it may."""
        whys = [
            _why_not(state, viewer, self.now)
            for state in self.items[item].known_to(process, self.now)
        ]
        if all(whys):
            return whys[0]
        if not hides_engaged or viewer is None or (viewer, item) not in self.engaged:
            return None
        states = self.engaged[viewer, item].known_to(process, self.now)
        return f"engaged, {self.engaged[viewer, item]}" if all(states) else None

    def bid(self, process: int) -> None:
        """Have somebody bid."""
        pair = self._pair()
        # The same one twice, at one moment, is one: then nothing comes of it.
        self.processes[process].bid_placed(*pair)
        self.bids.add(pair)
        self._engaged(pair, process)

    def watch(self, process: int) -> None:
        """Have somebody begin to watch an item, which they may do already."""
        pair = self._pair()
        assert self.processes[process].watched(*pair) is (pair not in self.watches)
        self.watches.add(pair)
        self._engaged(pair, process)

    def unwatch(self, process: int) -> None:
        """Have somebody watch an item no longer."""
        pair = self.chance.choice(sorted(self.watches)) if self.watches else self._pair()
        assert self.processes[process].unwatched(*pair) is (pair in self.watches)
        self.watches.discard(pair)
        self._engaged(pair, process)

    def _pair(self) -> tuple[str, str]:
        """Return somebody and an item, which more often than not they have just seen."""
        user = self.chance.choice(USERS)
        seen = self.shown.get(user) if self.chance.random() < 0.8 else None
        return user, str(self.chance.choice(seen or list(self.items)))

    def _engaged(self, pair: tuple[str, str], process: int) -> None:
        self.recent = pair[0]
        state = State(pair in self.bids | self.watches, self.now, process)
        self.engaged.setdefault(pair, History(deque([State(False, NOW, None)]))).add(state)

    def change(self, process: int) -> None:
        """Change some items as their host does, and tell of it."""
        count = self.chance.choice([1, 1, 1, 2, 5])
        seen = list(map(str, self.shown.get(self.recent, ())))
        among = seen if len(seen) >= count and self.chance.random() < 0.5 else list(self.items)
        chosen = self.chance.sample(among, count)
        for item_id in chosen:
            known = self.items[item_id].states[-1].value
            self._put(self._changed(known), process)
        if self.chance.randrange(AN_ITEM_EVERY) == 0:
            chosen.append(f"item-{len(self.items):02}")
            self._put(_new_item(self.chance, chosen[-1], self.now), process)
        assert self.processes[process].items_changed(chosen)

    def _changed(self, item: Item) -> Item:
        match self.chance.randrange(8):
            case 0:
                return attrs.evolve(item, is_published=False)
            case 1:
                closed = [AuctionStatus.SOLD, AuctionStatus.CANCELLED, AuctionStatus.PAUSED]
                return attrs.evolve(item, status=self.chance.choice(closed))
            case 2:
                seconds = self.chance.choice([-1, 0, 0.5, 1, 3, 10, 60, 600])
                return attrs.evolve(item, ends_at=self.now + timedelta(seconds=seconds))
            case 3:
                # Not to one who has bid: those bids count no more at once, and a process that knows
                # the old seller may show the item to the new one until it hears of the change.
                engaged, lot_id = self.bids | self.watches, str(item.item_id)
                others = [user for user in USERS if (user, lot_id) not in engaged]
                return attrs.evolve(item, seller_id=UserId(self.chance.choice(others or USERS)))
            case 4:
                return attrs.evolve(
                    item, title=f"edited at {self.now}", category_id=self.chance.choice(CATEGORIES)
                )
            case _:
                ends_at = self.chance.choice([None, self.now + timedelta(minutes=5)])
                return attrs.evolve(item, is_published=True, status=None, ends_at=ends_at)

    def _put(self, item: Item, process: int) -> None:
        self.one.market.add_item(item)
        history = self.items.setdefault(
            str(item.item_id), History(deque([State(item, self.now, None)]))
        )
        history.add(State(item, self.now, process))

    def passes(self, _: int) -> None:
        """Let time pass."""
        seconds = self.chance.choice([0.000001, 0.1, 0.5, 0.9, 1, 1, 2, 5, 20, 61, 200])
        if seconds >= 1:
            # What takes so long by the clock is taken for a database that does not answer.
            settle(*self.processes)
        self.one.passes(timedelta(seconds=seconds))

    def run_job(self, process: int) -> None:
        """Run a job."""
        self.processes[process].system.run_job(self.chance.choice(BATCH_JOBS))

    def forget(self, process: int) -> None:
        """Clear the memory of a user, of an item, or all of it in every process."""
        user, item = self._pair()
        system = self.processes[process].system
        match self.chance.randrange(4):
            case 0:
                system.forget_cached()
            case 1:
                system.forget_cached(item_id=item)
            case _:
                system.forget_cached(user_id=user)


def _new_item(chance: random.Random, item_id: str, now: datetime = NOW) -> Item:
    """Return an item that is open, of which one in three ends within the hour."""
    seconds = chance.choice([None, None, chance.uniform(1, 3_600)])
    return attrs.evolve(
        lot(item_id, chance.choice(CATEGORIES), seller=chance.choice([None, *USERS])),
        ends_at=None if seconds is None else now + timedelta(seconds=seconds),
    )


def _why_not(item: Item, viewer: str | None, now: datetime) -> str | None:
    """Return why an item may not be shown, by the words of the promise."""
    if not item.is_published:
        return "withdrawn"
    if item.ends_at is not None and item.ends_at <= now:
        return "ended"
    if item.status is not None and item.status not in OPEN_STATUSES:
        return f"{item.status}"
    return "own" if viewer is not None and item.seller_id == UserId(viewer) else None


_STEPS: dict[Callable[[Market, int], None], float] = {
    Market.answer: 60,
    Market.bid: 4,
    Market.watch: 4,
    Market.unwatch: 3,
    Market.change: 12,
    Market.passes: 15,
    Market.run_job: 0.3,
    Market.forget: 1,
}


def test_of_random_answers_while_items_close_and_bids_come_none_shows_what_it_must_not() -> None:
    chance, answers, counts = seeded(), sized(4_000, 1_000_000), Counter[str]()
    while counts["answer"] < answers:
        market, most = Market.of(chance, counts), counts["answer"] + A_SHOP
        with market.processes[0], market.processes[1]:
            while counts["answer"] < min(most, answers):
                try:
                    market.step()
                except Exception as error:
                    raise AssertionError(f"{market.last}, {counts['answer']} answers in") from error
            for reco in market.processes:
                assert reco.system.stats().events_failed == 0

    print(f"{counts['answer']:,} answers with {counts['shown']:,} items: {dict(counts)}")
    # Where nothing is shown, nothing wrong is.
    assert counts["shown"] > 3 * counts["answer"]


# Threads, and the clock of the system: only what was so before an answer began counts.

READERS, WRITERS = 4, 2
_MOST_BIDS = 8


@attrs.define
class Truth:
    """What nobody may be shown any more in a process that was told; each change has a number."""

    gone: dict[tuple[int, str], int] = attrs.field(factory=dict)
    engaged: set[tuple[int, str, str]] = attrs.field(factory=set)
    lock: threading.Lock = attrs.field(factory=threading.Lock)

    def seen(self) -> tuple[dict[tuple[int, str], int], set[tuple[int, str, str]]]:
        """Return what is so now."""
        with self.lock:
            return dict(self.gone), set(self.engaged)


def test_what_was_told_before_an_answer_began_is_not_in_it_whoever_asks_meanwhile() -> None:
    chance = seeded()
    seeds = [chance.randrange(10**9) for _ in range(READERS + WRITERS)]
    items = [lot(f"item-{number:02}", CATEGORIES[number % 3]) for number in range(40)]
    market = filled(items, *(bid(user, "item-00") for user in USERS[:4]), users=USERS)
    ports = memory_ports(market)
    # Open items are read often, to meet all that happens.
    settings = Settings(live_for=timedelta(seconds=1), deadline=timedelta(seconds=20))
    processes = [Recommender(ports, settings) for _ in range(2)]
    # One follows by a thread, the other by calls.
    processes[0].start(scheduler=None)
    truth, counts = Truth(), Counter[str]()
    ends_at = monotonic() + sized(1, 10)

    def work(place: int) -> None:
        chance = random.Random(seeds[place])
        number = 0
        while monotonic() < ends_at:
            if place < READERS:
                read(chance)
            else:
                write(chance, place - READERS)
            number += 1
        with truth.lock:
            counts["answers" if place < READERS else "changes"] += number

    def read(chance: random.Random) -> None:
        process, user = chance.randrange(2), chance.choice(USERS)
        view = processes[process].as_user(user)
        item = f"item-{chance.randrange(40):02}"
        gone, engaged = truth.seen()
        surface = chance.choice(["homepage", "similar_items", "after_bid", "popular_items"])
        shelf: Shelf
        match surface:
            case "homepage":
                shelf = view.homepage()
            case "similar_items":
                shelf = view.similar_items(item, 20)
            case "after_bid":
                shelf = view.after_bid(item, 20)
            case _:
                shelf = view.popular_items()
        gone_still, _ = truth.seen()
        assert len(set(shelf.ids)) == len(shelf)
        for shown in map(str, shelf.ids):
            number = gone.get((process, shown))
            is_wrong = number is not None and gone_still.get((process, shown)) == number
            assert not is_wrong, f"{surface} in {process} shows {shown}, which is withdrawn"
            if surface in ("homepage", "after_bid"):
                assert (process, user, shown) not in engaged, f"{surface} shows {shown} to {user}"

    def write(chance: random.Random, writer: int) -> None:
        # Of each item one writer alone knows how it is.
        process, place = chance.randrange(2), writer + WRITERS * chance.randrange(40 // WRITERS)
        item_id, user = f"item-{place:02}", chance.choice(USERS)
        item, number = market.items[ItemId(item_id)], chance.randrange(10**9)
        if chance.random() < 0.1:
            with truth.lock:
                bids = sum(who == user for _, who, _ in truth.engaged)
            if bids < _MOST_BIDS:
                event = chance.choice(["bid_placed", "watched"])
                assert getattr(processes[process], event)(user, item_id) in (True, False)
                with truth.lock:
                    truth.engaged.add((process, user, item_id))
        elif item.is_published:
            market.add_item(attrs.evolve(item, is_published=False))
            assert processes[process].items_changed([item_id])
            with truth.lock:
                truth.gone[process, item_id] = number
        else:
            with truth.lock:
                for one in range(2):
                    truth.gone.pop((one, item_id), None)
            market.add_item(attrs.evolve(item, is_published=True))
            assert processes[process].items_changed([item_id])
        # Writers shall not keep readers from reading.
        threading.Event().wait(chance.uniform(0, 0.004))

    with ExitStack() as open_ones:
        for reco in processes:
            open_ones.enter_context(reco)
        together(READERS + WRITERS, work)
        for reco in processes:
            assert reco.system.stats().events_failed == 0
    print(dict(counts))
    assert counts["answers"] > counts["changes"] > 0
