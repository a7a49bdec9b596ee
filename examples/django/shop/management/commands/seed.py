"""Fill an empty site with a simulated marketplace."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection, transaction
from django.utils import timezone

from angle_reco.simulation import MarketplaceShape, simulate
from shop.models import Bid, Category, Lot, Watch

PASSWORD = "auction"
NAMES = (
    *("ada", "ben", "cleo", "dora", "emil", "fay", "gus", "hana", "ivo", "june"),
    *("kai", "lena", "milo", "nora", "otto", "pia", "quin", "rosa", "sam", "tess"),
)
STATUSES = {"published": Lot.Status.ACTIVE}


class Command(BaseCommand):
    """Seeds users, lots, bids and watches; their password is the same."""

    help = "Fill an empty site: users such as ada and ben, with the password auction."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the number of lots."""
        parser.add_argument("--lots", type=int, default=900)

    def handle(self, *_: Any, lots: int, **__: Any) -> None:
        """Seed the site, unless it has lots already."""
        if connection.vendor == "sqlite":  # so that pages do not wait for writers
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA journal_mode=WAL")
        self._seed(lots)

    @transaction.atomic
    def _seed(self, lots: int) -> None:
        if Lot.objects.exists():
            self.stdout.write("The site has lots already.")
            return
        shape = MarketplaceShape(
            users=lots // 3,
            items=lots,
            bids=lots * 6,
            watches=lots * 3,
            sellers=lots // 15,
            categories=12,
        )
        market = simulate(shape, now=timezone.now())
        # The busiest bidders have the shortest names, so that signing in shows something.
        ranks = _ranks(market.bids.user.tolist(), len(market.users))
        password = make_password(PASSWORD)
        users = get_user_model().objects.bulk_create(
            get_user_model()(
                username=_name(ranks[number]),
                password=password,
                date_joined=_moment(market.users.inserted_at[number]),
                last_login=_moment(market.users.last_sign_in_at[number]),
            )
            for number in range(len(market.users))
        )
        categories = Category.objects.bulk_create(
            Category(name=one.replace("-", " ").capitalize()) for one in market.category_ids
        )
        items = market.items
        sold = Lot.objects.bulk_create(
            Lot(
                title=items.title[number],
                category=categories[items.category[number]],
                seller=users[items.seller[number]],
                starting_price=_price(items.starting_cents[number]),
                status=STATUSES.get(items.publication_status[number], Lot.Status.CANCELLED),
                ends_at=_moment(items.end_time[number]) or timezone.now() + timedelta(30),
                created_at=_moment(items.inserted_at[number]),
            )
            for number in range(len(items))
        )
        Bid.objects.bulk_create(
            Bid(
                user=users[market.bids.user[number]],
                lot=sold[market.bids.item[number]],
                amount=_price(market.bids.cents[number]),
                placed_at=_moment(market.bids.placed_at[number]),
            )
            for number in range(len(market.bids))
        )
        Watch.objects.bulk_create(
            Watch(
                user=users[market.watches.user[number]],
                lot=sold[market.watches.item[number]],
                watched_at=_moment(market.watches.inserted_at[number]),
            )
            for number in range(len(market.watches))
        )
        self.stdout.write(f"{len(users)} users, {len(sold)} lots, {len(market.bids)} bids.")


def _ranks(bidders: list[int], users: int) -> list[int]:
    """Return the place of each user among the busiest bidders."""
    order = sorted(range(users), key=lambda one: (-bidders.count(one), one))
    return [rank for _, rank in sorted(zip(order, range(users), strict=True))]


def _name(rank: int) -> str:
    number, place = divmod(rank, len(NAMES))
    return f"{NAMES[place]}{number + 1 if number else ''}"


def _price(cents: int) -> Decimal:
    return Decimal(int(cents)) / 100


def _moment(value: Any) -> datetime | None:
    found = value.astype("M8[s]").item()
    return None if found is None else found.replace(tzinfo=UTC)
