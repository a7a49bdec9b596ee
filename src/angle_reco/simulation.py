"""A simulated auction marketplace: people with tastes, lots that sound real, bids that rise."""

import csv
import math
import re
import sys
from collections.abc import Callable
from datetime import datetime
from itertools import chain, zip_longest
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Moments = npt.NDArray[np.datetime64]  # UTC, whole seconds; NaT is none
Texts = npt.NDArray[np.object_]  # of str

# Until they become columns, moments are int64 seconds since the history began.
_DAY = 86_400
_SESSION = 2 * 3_600  # how long somebody stays after signing in
_NONE = -1  # a moment that is not there

_TASTE = (0.55, 0.80, 0.90)  # cumulative shares of somebody's three categories; the rest is any
_LEVEL_WIDTH = 0.3  # how much of a category's price range somebody looks at
_PRICE_SPREAD = 0.8  # sigma of the logarithm of starting prices within a category
_STATUSES = np.array(("published", "withdrawn", "draft"), dtype=object)
_STATUS_SHARES = (0.96, 0.02, 0.02)
_ROUNDS = 30  # of drawing what is still missing
_CHUNK = 200_000  # draws, or rows of a file, at once


@attrs.frozen(kw_only=True)
class MarketplaceShape:
    """How large and how lively a simulated marketplace is.

    The exponents are Zipf's: the k-th of its kind gets a share like k ** -exponent, 0 is all alike.
    Bids and watches are fewer where nobody is left who may place them.
    """

    users: int = 2_000
    items: int = 5_000
    bids: int = 40_000
    watches: int = 20_000
    sellers: int = 200  # so many of the users
    categories: int = 24  # so many have a name of their own; more are numbered
    user_exponent: float = 0.6
    item_exponent: float = 0.5
    category_exponent: float = 0.6
    days: int = 90  # how far back the history goes
    seed: int = 1

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            if name.endswith("_exponent"):
                if type(value) not in {int, float} or not 0 <= value <= sys.float_info.max:
                    raise ValueError(f"{name} must be a finite number, at least 0, not {value!r}")
            elif type(value) is not int or not 1 <= value < 2**31:
                raise ValueError(f"{name} must be an int from 1 to {2**31 - 1}, not {value!r}")
        if self.sellers > self.users:
            raise ValueError(f"sellers are users: at most {self.users}, not {self.sellers}")
        if self.days > 36_500:
            raise ValueError(f"days must be at most 36500, a century, not {self.days}")


@attrs.frozen(kw_only=True, eq=False)
class _Columns:
    """Arrays of one length that nobody writes to, a place in each for the same thing."""

    def __attrs_post_init__(self) -> None:
        columns: list[npt.NDArray[np.generic]] = list(attrs.asdict(self).values())
        if len({len(column) for column in columns}) != 1:
            raise ValueError(f"the columns of {type(self).__name__} must be of one length")
        for column in columns:
            column.flags.writeable = False

    def __len__(self) -> int:
        return len(getattr(self, attrs.fields(type(self))[0].name))


@attrs.frozen(kw_only=True, eq=False)
class Users(_Columns):
    """Who is there, in the order of their ids. Sellers are among them."""

    user_id: Texts
    inserted_at: Moments
    last_sign_in_at: Moments  # NaT: never
    sign_in_count: Int64s


@attrs.frozen(kw_only=True, eq=False)
class Items(_Columns):
    """The lots, in the order of their ids and of listing."""

    item_id: Texts
    category: Codes  # its place among the marketplace's category_ids
    seller: Codes  # a row of the users
    title: Texts
    starting_cents: Int64s
    current_cents: Int64s  # the highest bid, before the first one the starting price
    publication_status: Texts  # published, withdrawn or draft; nobody ever saw a draft
    starts_at: Moments
    end_time: Moments  # NaT: open until withdrawn
    inserted_at: Moments


@attrs.frozen(kw_only=True, eq=False)
class Bids(_Columns):
    """The bids, lot by lot, each lot's rising with time."""

    user: Codes  # a row of the users
    item: Codes  # a row of the items
    cents: Int64s
    placed_at: Moments


@attrs.frozen(kw_only=True, eq=False)
class Watches(_Columns):
    """Who keeps an eye on what, user by user; a pair is there once."""

    user: Codes  # a row of the users
    item: Codes  # a row of the items
    inserted_at: Moments


@attrs.frozen(kw_only=True, eq=False)
class Marketplace:
    """Everything that was there and that happened until a moment."""

    category_ids: tuple[str, ...]
    users: Users
    items: Items
    bids: Bids
    watches: Watches

    def write_csv(
        self, directory: Path, *, progress: Callable[[str, int, int], None] | None = None
    ) -> None:
        """Write users.csv, items.csv, bids.csv and watches.csv as `angle-reco import` reads them.

        Args:
            directory: Made where it is missing; files of these names are replaced.
            progress: Called now and then with the name of a file, rows written and rows in all.
        """
        directory.mkdir(parents=True, exist_ok=True)
        for file, columns in self._files().items():
            rows = len(next(iter(columns.values())))
            with (directory / file).open("w", encoding="utf-8", newline="") as lines:
                writer = csv.writer(lines, lineterminator="\n")
                writer.writerow(columns)
                for start in range(0, rows, _CHUNK):
                    part = slice(start, start + _CHUNK)
                    texts = (_texts(column[part]) for column in columns.values())
                    writer.writerows(zip(*texts, strict=True))
                    if progress is not None:
                        progress(file, min(part.stop, rows), rows)

    def _files(self) -> dict[str, dict[str, npt.NDArray[np.generic]]]:
        """Return the columns of each file by its name; floats are money."""
        users, items, bids, watches = self.users, self.items, self.bids, self.watches
        return {
            "users.csv": attrs.asdict(users),
            "items.csv": {
                "item_id": items.item_id,
                "category_id": np.array(self.category_ids, dtype=object)[items.category],
                "seller_id": users.user_id[items.seller],
                "title": items.title,
                "starting_price": items.starting_cents / 100,
                "current_price": items.current_cents / 100,
                "publication_status": items.publication_status,
                "starts_at": items.starts_at,
                "end_time": items.end_time,
                "inserted_at": items.inserted_at,
            },
            "bids.csv": {
                "user_id": users.user_id[bids.user],
                "item_id": items.item_id[bids.item],
                "amount": bids.cents / 100,
                "placed_at": bids.placed_at,
            },
            "watches.csv": {
                "user_id": users.user_id[watches.user],
                "item_id": items.item_id[watches.item],
                "inserted_at": watches.inserted_at,
            },
        }


def simulate(shape: MarketplaceShape, *, now: datetime) -> Marketplace:
    """Return the marketplace of that shape as it stands at *now*.

    The same shape, *now* and numpy give the same marketplace.

    Raises:
        ValueError: *now* has no time zone.
    """
    if now.utcoffset() is None:
        raise ValueError(f"now must be aware, like datetime.now(UTC), not {now!r}")
    rng = np.random.default_rng(shape.seed)
    today = shape.days * _DAY
    demand = _zipf(shape.categories, shape.category_exponent)

    listed, opens, ends = _lifetimes(rng, shape.items, today)
    sellers = rng.permutation(shape.users)[: shape.sellers]
    trades = rng.choice(shape.categories, (shape.sellers, 3), p=demand)
    stall = rng.choice(shape.sellers, shape.items, p=_zipf(shape.sellers, shape.user_exponent))
    seller = sellers[stall]
    category = trades[stall, rng.choice(3, shape.items, p=(0.6, 0.25, 0.15))]
    starting, step = _starting_prices(rng, category)
    status = rng.choice(_STATUSES, shape.items, p=_STATUS_SHARES)

    created, last_sign_in = _presence(rng, shape.users, today)
    np.minimum.at(created, seller, listed)
    np.maximum.at(last_sign_in, seller, listed)

    shelf = np.lexsort((starting, category))
    zeal = rng.permutation(_zipf(shape.users, shape.user_exponent))
    zeal[sellers[::4]] = 0  # they only sell
    appeal = rng.permutation(_zipf(shape.items, shape.item_exponent))
    closing = np.where(ends == _NONE, today, np.minimum(ends - 1, today))
    crowd = _Crowd(
        rng=rng,
        zeal_before=np.append(0, np.cumsum(zeal)),
        demand=demand,
        favourites=rng.choice(shape.categories, (shape.users, 3), p=demand),
        level=rng.random(shape.users),
        shelf=shelf,
        shelf_starts=np.searchsorted(category[shelf], np.arange(shape.categories + 1)),
        appeal_before=np.append(0, np.cumsum(appeal)),
        seller=seller,
        arrival=created,
        departure=np.where(last_sign_in == _NONE, _NONE, last_sign_in + _SESSION),
        closing=np.where(status == "draft", _NONE, closing),
    )
    bidder, lot, placed_at = _gather(
        shape.bids, lambda count: crowd.act(count, opens, come_back=0.35), _in_turn
    )
    watcher, watched, watched_at = _gather(
        shape.watches, lambda count: crowd.act(count, listed), _once_each
    )
    cents, current = _rising_prices(rng, lot, starting, step)

    stay = np.where(last_sign_in == _NONE, 0, last_sign_in - created) / _DAY
    busy = np.bincount(bidder, minlength=shape.users)
    visits = rng.poisson(np.where(stay > 0, 0.15 * stay + 0.25 * busy, 0))

    epoch = math.floor(now.timestamp()) - today
    return Marketplace(
        category_ids=tuple(_slug(number) for number in range(shape.categories)),
        users=Users(
            user_id=_ids("user", shape.users, digits=4),
            inserted_at=_moments(created, epoch),
            last_sign_in_at=_moments(last_sign_in, epoch),
            sign_in_count=np.where(last_sign_in == _NONE, 0, 1 + visits),
        ),
        items=Items(
            item_id=_ids("lot", shape.items, digits=5),
            category=category.astype(np.int32),
            seller=seller.astype(np.int32),
            title=_titles(rng, category),
            starting_cents=starting,
            current_cents=current,
            publication_status=status,
            starts_at=_moments(opens, epoch),
            end_time=_moments(ends, epoch),
            inserted_at=_moments(listed, epoch),
        ),
        bids=Bids(
            user=bidder.astype(np.int32),
            item=lot.astype(np.int32),
            cents=cents,
            placed_at=_moments(placed_at, epoch),
        ),
        watches=Watches(
            user=watcher.astype(np.int32),
            item=watched.astype(np.int32),
            inserted_at=_moments(watched_at, epoch),
        ),
    )


@attrs.frozen(kw_only=True, eq=False)
class _Crowd:
    """Everybody with their tastes, in front of a shelf with all lots."""

    rng: np.random.Generator
    zeal_before: Floats  # what all users before this one do together; one more for the end
    favourites: Int64s  # three categories a user; one may be there twice
    demand: Floats  # the share of each category where nobody has a favourite
    level: Floats  # where a user looks in the price range of any category: 0 cheap, 1 dear
    shelf: Int64s  # the lots by category, from cheap to dear
    shelf_starts: Int64s  # where on the shelf each category starts; one more for the end
    appeal_before: Floats  # the appeal of all lots before a place on the shelf
    seller: Int64s
    arrival: Int64s  # the user's first and last second here
    departure: Int64s
    closing: Int64s  # the last second in which something can be done with a lot

    def act(self, count: int, opening: Int64s, *, come_back: float = 0.0) -> Int64s:
        """Return about *count* events in no order, none before its lot's *opening*.

        An event is a column of user, lot and moment. Whoever did something with a lot
        does it again with probability *come_back*.
        """
        user, item = self._looks(count)
        times = self.rng.geometric(1 - come_back, count)
        user, item = np.repeat(user, times), np.repeat(item, times)
        first = np.maximum(opening[item], self.arrival[user])
        last = np.minimum(self.closing[item], self.departure[user])
        late = self.rng.random(len(user)) ** 0.7  # more is done towards the end
        at = first + ((last - first + 1) * late).astype(np.int64)
        return np.stack((user, item, at))[:, (first <= last) & (self.seller[item] != user)]

    def _looks(self, count: int) -> tuple[Int64s, Int64s]:
        """Return users and the lot that each of them looks at."""
        everybody = np.full(count, len(self.level))
        user = _pick(self.rng, self.zeal_before, np.zeros_like(everybody), everybody)
        taste = np.searchsorted(_TASTE, self.rng.random(count))
        anything = self.rng.choice(len(self.demand), count, p=self.demand)
        favourite = self.favourites[user, np.minimum(taste, 2)]
        category = np.where(taste < len(_TASTE), favourite, anything)

        start, end = self.shelf_starts[category], self.shelf_starts[category + 1]
        start, end = np.where(start < end, (start, end), ((0,), (len(self.shelf),)))  # none: all
        size = end - start
        start += (size * (1 - _LEVEL_WIDTH) * self.level[user]).astype(np.int64)
        end = np.minimum(end, start + np.ceil(size * _LEVEL_WIDTH).astype(np.int64))
        return user, self.shelf[_pick(self.rng, self.appeal_before, start, end)]


def _pick(rng: np.random.Generator, weight_before: Floats, start: Int64s, end: Int64s) -> Int64s:
    """Return a place in each range, as likely as its weight in it."""
    low, high = weight_before[start], weight_before[end]
    marks = low + (high - low) * rng.random(len(low))
    order = np.argsort(marks)  # looking them up in order is much faster
    places = np.empty_like(start)
    places[order] = np.searchsorted(weight_before, marks[order], side="right") - 1
    return np.clip(places, start, end - 1)


def _gather(count: int, act: Callable[[int], Int64s], settle: Callable[[Int64s], Int64s]) -> Int64s:
    """Return *count* settled events, or fewer where no more find a place."""
    events = np.empty((3, 0), dtype=np.int64)
    for _ in range(_ROUNDS):
        found = events.shape[1]
        missing = count - found
        looks = min(count, 3 * missing) + 1_000  # since some find no place
        sizes = (min(_CHUNK, looks - start) for start in range(0, looks, _CHUNK))
        more = np.concatenate([act(size) for size in sizes], axis=1)[:, :missing]
        events = settle(np.concatenate((events, more), axis=1))
        if events.shape[1] == count or events.shape[1] - found < missing // 100:
            break
    return events


def _in_turn(events: Int64s) -> Int64s:
    """Order by lot and time; of one moment one stays, and nobody follows themself."""
    _, order = np.unique((events[1] << 32) + events[2], return_index=True)
    events = events[:, order]
    change = np.diff(events[0], prepend=-1) | np.diff(events[1], prepend=-1)
    return events[:, change != 0]


def _once_each(events: Int64s) -> Int64s:
    """Order by user and lot; of a pair one stays."""
    _, order = np.unique((events[0] << 32) + events[1], return_index=True)
    return events[:, order]


def _zipf(count: int, exponent: float) -> Floats:
    """Return the shares of *count* kinds, the largest first."""
    weights: Floats = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    shares: Floats = weights / weights.sum()
    return shares


def _lifetimes(rng: np.random.Generator, count: int, today: int) -> tuple[Int64s, Int64s, Int64s]:
    """Return when each lot is listed, opens and ends, in the order of listing."""
    length = rng.uniform(2, 14, count) * _DAY
    ended = today - 0.95 * today * rng.random(count) ** 1.5  # more of them lately
    opened = today - min(today, 21 * _DAY) * rng.random(count) ** 2
    ending = today + 1 + rng.random(count) * rng.choice((1, 7, 35), count, p=(0.2, 0.4, 0.4)) * _DAY
    scheduled = today + rng.uniform(0.05, 7, count) * _DAY
    fate = rng.choice(4, count, p=(0.43, 0.48, 0.03, 0.06))  # ended, open, without end, scheduled
    began = ended - np.minimum(length, ended * rng.uniform(0.1, 1, count))
    opens = np.choose(fate, (began, opened, opened, scheduled))
    ends = np.choose(fate, (ended, ending, np.full(count, _NONE), scheduled + length))
    listed = np.minimum(opens, today)
    listed -= np.minimum(listed, 2 * _DAY) * rng.random(count)
    order = np.argsort(listed, kind="stable")
    listed, opens, ends = np.stack((listed, opens, ends)).astype(np.int64)[:, order]
    return listed, opens, ends


def _presence(rng: np.random.Generator, count: int, today: int) -> tuple[Int64s, Int64s]:
    """Return when each user came, in that order, and when they signed in last."""
    created = np.sort(today * rng.random(count) ** 3).astype(np.int64)
    regular = rng.exponential(4 * _DAY, count)
    lapsed = 30 * _DAY + rng.exponential(20 * _DAY, count)
    absence = np.where(rng.random(count) < 0.15, lapsed, regular).astype(np.int64)
    last_sign_in = np.maximum(created, today - absence)
    return created, np.where(rng.random(count) < 0.05, _NONE, last_sign_in)


def _starting_prices(rng: np.random.Generator, category: Int64s) -> tuple[Int64s, Int64s]:
    """Return starting prices and the steps in which bids rise, in cents."""
    spread = np.exp(_PRICE_SPREAD * rng.standard_normal(len(category)))
    cents = np.maximum(_MEDIAN_CENTS[category % len(_SLUGS)] * spread, 100)
    magnitude = 10 ** np.floor(np.log10(cents / 20))  # a step is 1, 2 or 5 of it: 2 to 5 %
    lead = np.array((1, 2, 5))[np.searchsorted((2, 5), cents / 20 / magnitude, side="right")]
    step = np.rint(lead * magnitude).astype(np.int64)
    return np.rint(cents / step).astype(np.int64) * step, step


def _rising_prices(
    rng: np.random.Generator, item: Int64s, starting: Int64s, step: Int64s
) -> tuple[Int64s, Int64s]:
    """Return the cents of each bid, given lot by lot, and those each lot has come to."""
    steps = rng.geometric(0.6, len(item))
    climbed = np.cumsum(steps)
    first = np.flatnonzero(np.diff(item, prepend=-1))
    before = np.repeat(climbed[first] - steps[first], np.diff(first, append=len(item)))
    cents = starting[item] + step[item] * (climbed - before)
    last = np.flatnonzero(np.diff(item, append=-1))
    current = starting.copy()
    current[item[last]] = cents[last]
    return cents, current


def _ids(kind: str, count: int, *, digits: int) -> Texts:
    digits = max(digits, len(str(count)))
    return np.array([f"{kind}-{n:0{digits}}" for n in range(1, count + 1)], dtype=object)


def _slug(number: int) -> str:
    again, trade = divmod(number, len(_SLUGS))
    return f"{_SLUGS[trade]}-{again + 1}" if again else _SLUGS[trade]


def _moments(seconds: Int64s, epoch: int) -> Moments:
    return np.where(seconds == _NONE, np.datetime64("NaT"), (epoch + seconds).view("M8[s]"))


def _texts(column: npt.NDArray[np.generic]) -> list[object]:
    """Return what is written for the values of *column*."""
    match column.dtype.kind:
        case "M":
            moments = np.datetime_as_string(column.astype("M8[s]"), timezone="UTC")
            return list(np.where(np.isnat(column), "", moments))
        case "f":
            return [f"{price:.2f}" for price in column.tolist()]
        case _:
            return list(column.tolist())


def _titles(rng: np.random.Generator, category: Int64s) -> Texts:
    """Return a title for each lot, in the words of its category's trade."""
    titles = np.full(len(category), "", dtype=object)
    trade = category % len(_SLUGS)
    for part in zip_longest(*_PARTS, fillvalue=[""]):
        counts = np.array([len(words) for words in part])
        before = np.cumsum(counts) - counts
        chosen = before[trade] + (rng.random(len(category)) * counts[trade]).astype(np.int64)
        titles += np.array(list(chain.from_iterable(part)), dtype=object)[chosen]
    return np.array([title.lstrip() for title in titles], dtype=object)


def _alternatives(part: str) -> list[str]:
    """Return what may stand in a part of a title, from "||, boxed" or ", 1963..1989"."""
    if numbers := re.fullmatch(r"(.*?)(\d+)\.\.(\d+)", part):
        words = [f"{numbers[1]}{n}" for n in range(int(numbers[2]), int(numbers[3]) + 1)]
    else:
        words = part.split("|")
    return [word if word[:1] in {"", ",", ":"} else f" {word}" for word in words]


# Of each trade: the slug of its category, the median starting price, and the parts of a title with
# their alternatives. One that begins with a comma or colon follows at once, others after a space.
_TRADES = """
watches 450:
  Omega Seamaster|Omega Speedmaster|Rolex Datejust|Longines Conquest|IWC Ingenieur|Heuer Carrera
  + , 1963..1989 + ||, serviced|with box and papers|, steel bracelet
cameras 180:
  Leica M4|Nikon F|Hasselblad 500 C/M|Rolleiflex 2.8 F|Canon AE-1|Olympus OM-1|Polaroid SX-70
  + , black|, chrome|, two-tone + ||in leather case|, serviced|, boxed|, for repair
vinyl-records 18:
  Kind of Blue|Pastel Blues|Animals|Autobahn|Rumours|Blue Train|Horses|Low|Aja|Harvest|Tapestry
  + , LP|, stereo LP|, mono LP|, double LP
  + ||, first pressing|, sealed|, signed sleeve|, test pressing|, promo copy
furniture 240: Walnut|Oak|Teak|Mahogany|Cherry|Rosewood|Elm
  + writing desk|sideboard|armchair|bookcase|dining table|chest of drawers|coffee table
  + ||, 1960s|, restored|, Danish|, French polish
books 45: First-edition|Signed|Leather-bound|Illustrated|Numbered
  + Steinbeck|Hemingway|Woolf|Kafka|Camus|Brontë|Calvino|Blixen|Kästner|Lem|Borges
  + ||with dust jacket|in slipcase|, ex-library
coins 70: Silver dollar|Gold sovereign|Silver crown|Gold 20-franc piece|Bronze penny|Silver rouble
  + , 1874..1912 + ||, proof|, nearly mint|, very fine
stamps 22: Airmail set|Commemorative block|Mint sheet|First-day cover|Charity series|Postage-due set
  + , Switzerland|, Japan|, Iceland|, Brazil|, Portugal|, Norway + , 1926..1962
guitars 780:
  Fender Stratocaster|Gibson Les Paul|Gibson ES-335|Martin D-28|Rickenbacker 330|Guild D-40
  + , 1968..1994 + ||, sunburst|with hard case|, refretted
jewellery 320: Gold|White-gold|Rose-gold|Platinum|Silver + ring|brooch|pendant|bracelet|necklace
  + with sapphire|with pearls|with garnets|with opal|with diamonds|, Art Deco
comics 28: Batman|Superman|Action Comics|X-Men|Daredevil|Wonder Woman|The Avengers + no. 101..168
  + ||, near mint|, very fine|, signed
paintings 420: Oil on canvas|Watercolour|Gouache|Pastel|Ink drawing|Etching
  + : harbour at dusk|: winter orchard|: still life with lemons|: Alpine lake|: street in the rain
  + ||, framed|, signed|, c. 1920
ceramics 65: Meissen|Royal Copenhagen|Delft|Sèvres|Wedgwood|Rosenthal|Arita
  + vase|teapot|dinner plate|figurine|tureen|fruit bowl|cup and saucer
  + ||, hand-painted|, small chip|, signed
toys 35: Tin robot|Steiff bear|Märklin locomotive|Wooden rocking horse|Dinky Toys lorry|Dolls' house
  + ||, boxed|, 1950s|, well loved|, one careful owner
wine 85: Château Margaux|Barolo|Vintage port|Rioja Gran Reserva|Riesling Auslese|Tokaji Aszú
  + , 1985..2016 + , one bottle|, magnum|, case of six|, three bottles
handbags 380: Hermès|Chanel|Gucci|Mulberry|Loewe|Céline
  + leather tote|shoulder bag|clutch|crossbody bag|top-handle bag
  + , black|, cognac|, burgundy|, navy|with dust bag
clocks 190: Carriage|Mantel|Longcase|Cuckoo|Wall|Skeleton|Travel
  + clock, brass|clock, walnut case|clock, eight-day|clock, striking|clock, for repair
posters 110: "Vertigo"|"Metropolis"|"La Dolce Vita"|"Casablanca"|"Playtime"|"Rear Window"
  + film poster|lobby card|cinema placard + ||, linen-backed|, framed|, folded|, re-release
lamps 120: Brass|Chrome|Murano glass|Opaline|Tiffany-style|Bauhaus
  + desk lamp|floor lamp|chandelier|wall light|table lamp + ||, rewired|, 1930s|, 1970s
synthesizers 850: Minimoog|Roland Juno-106|Korg MS-20|Yamaha DX7|Prophet-5|ARP Odyssey|Roland SH-101
  + ||, serviced|with manual|with flight case|, one key sticky
rugs 360: Persian|Anatolian|Caucasian|Moroccan|Turkmen|Kurdish
  + wool rug|kilim|runner|prayer rug|saddle bag
  + ||, red ground|, indigo ground|, natural dyes|, restored fringe
silverware 160: Sterling silver|Georgian silver|Victorian silver|Danish silver|Silver-plated
  + teapot|cutlery set|pair of candlesticks|sugar bowl|tray|soup ladle
  + ||, monogrammed|, hallmarked|in fitted case
bicycles 290: Bianchi|Peugeot|Raleigh|Gazelle|Colnago|Pinarello
  + road bike|touring bike|track frame|city bike + , 54 cm|, 56 cm|, 58 cm|, restored|, 1980s
maps 95: Map of Tuscany|Sea chart of the Baltic|Plan of Vienna|Map of Iceland|Celestial chart
  + , 1690..1870 + ||, hand-coloured|, framed|, copperplate
scientific-instruments 210: Brass|Lacquered brass|Mahogany-cased|Victorian|Naval
  + microscope|sextant|theodolite|barometer|telescope|pocket compass
  + ||, London|, Paris|, Jena|, Dublin
"""
_SLUGS, _PRICES, _BODIES = zip(
    *re.findall(r"^([\w-]+) (\d+):\s+((?:.|\n )+)$", _TRADES, re.MULTILINE), strict=True
)
_MEDIAN_CENTS = 100 * np.array([int(price) for price in _PRICES])
_PARTS = [[_alternatives(part) for part in re.split(r"\s+\+ ", body)] for body in _BODIES]
