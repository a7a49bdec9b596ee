"""Signals where the market is not a plain list of fields, and tests that commit."""

from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.request import urlopen

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in
from django.core import serializers
from django.db import connections
from django.db.models import F
from django.test import LiveServerTestCase, TestCase, TransactionTestCase
from django.test.utils import override_settings
from django.utils import timezone

from angle_reco.django import recommender, signals
from angle_reco.django.configuration import ConfigurationError, configured
from tests.django import project
from tests.django.shop.models import Bid, Category, Lot, Watch
from tests.django.shop.reco import ShopMarket


def changes() -> int:
    with connections[project.SQLITE].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM angle_reco_changes")
        return int(cursor.fetchone()[0])


def filled() -> tuple[Any, Any]:
    users = get_user_model().objects
    ann, eve = users.create_user("ann"), users.create_user("eve")
    kind = Category.objects.create(name="watches")
    lots = [Lot.objects.create(title=title, category=kind, seller=eve) for title in "ab"]
    return ann, lots


class Indirect(ShopMarket):
    """The bidder is found through another table, and watches of one user are left out."""

    bids = Bid.objects.values(
        item_id=F("lot"), user_id=F("bidder__pk"), placed_at=F("made_at")
    ).filter(bidder__username="ann")
    watches = Watch.objects.filter(user__username="ann").values(
        "user_id", item_id=F("lot"), watched_at=F("since")
    )


class OfSellers(ShopMarket):
    """Bids count for the seller of their lot, who is in another table."""

    bids = Bid.objects.values(item_id=F("lot"), user_id=F("lot__seller"), placed_at=F("made_at"))


class OfFans(ShopMarket):
    """Watches are the rows of a many-to-many field, and count for the seller of their lot."""

    watches = Lot.fans.through.objects.values(
        user_id_=F("lot__seller"), item_id=F("lot"), watched_at=F("lot__created_at")
    )


class Union(ShopMarket):
    watches = None
    bids = (
        Bid.objects.values(item_id=F("lot"), user_id=F("bidder"), placed_at=F("made_at"))
        .union(Watch.objects.values(item_id=F("lot"), u=F("user"), placed_at=F("since")))
        .order_by()
    )


class TestSignals(TestCase):
    def test_fixtures_report_nothing(self) -> None:
        ann, lots = filled()
        bid = Bid(pk=9, bidder=ann, lot=lots[0], cents=5)
        watch = Watch(pk=9, user=ann, lot=lots[0])
        before = changes()

        for one in serializers.deserialize("json", serializers.serialize("json", [bid, watch])):
            one.save()

        assert Bid.objects.count() == 1
        assert changes() == before

    def test_objects_that_the_market_leaves_out_report_nothing(self) -> None:
        ann, lots = filled()
        bob = get_user_model().objects.create_user("bob")
        with override_settings(ANGLE_RECO={"MARKET": Indirect}):
            before = changes()
            bid = Bid.objects.create(bidder=bob, lot=lots[0], cents=5)
            watch = Watch.objects.create(user=bob, lot=lots[0])
            assert changes() == before
            Bid.objects.create(bidder=ann, lot=lots[0], cents=5)
            kept = Watch.objects.create(user=ann, lot=lots[1])
            assert changes() == before + 2
            assert recommender().as_user(ann.pk).homepage().ids == ()
            # Now these are left out, too: they count as ended.
            kept.user = bob
            kept.save()
            assert changes() == before + 3
            watch.delete()
            bid.delete()
            assert recommender().system.stats().events_failed == 0

    def test_what_a_deleted_object_was_is_read_before(self) -> None:
        ann, lots = filled()
        with override_settings(ANGLE_RECO={"MARKET": OfSellers}):
            signals.connect(configured().market)
            bid = Bid.objects.create(bidder=ann, lot=lots[0], cents=5)
            before = changes()

            bid.delete()

            assert changes() == before + 1
            assert recommender().system.stats().events_failed == 0

    def test_a_many_to_many_field_reports_its_rows(self) -> None:
        ann, (one, other) = filled()
        for market, of_ann, of_other in [
            (OfFans, ann.favourites, other.fans),  # the table is made by Django
            (ShopMarket, ann.watched, other.watchers),  # or a model of the host
        ]:
            acts = [
                (partial(of_ann.add, one), 1),
                (partial(of_ann.add, one, other), 1),
                (partial(of_ann.remove, one), 1),
                (partial(of_ann.set, [one]), 2),
                (partial(of_ann.clear), 1),
                (partial(of_ann.clear), 0),
                (partial(of_other.add, ann), 1),
                (partial(of_other.set, []), 1),
            ]
            with override_settings(ANGLE_RECO={"MARKET": market}):
                signals.connect(configured().market)
                for number, (act, reported) in enumerate(acts):
                    before = changes()
                    act()
                    assert changes() == before + reported, (market, number)
                assert recommender().system.stats().events_failed == 0

    def test_other_databases_and_a_market_without_watches_report_nothing(self) -> None:
        ann, lots = filled()
        with override_settings(ANGLE_RECO={"MARKET": Union}):
            signals.connect(configured().market)
            before = changes()
            Watch.objects.create(user=ann, lot=lots[0])
        with override_settings(
            ANGLE_RECO={"MARKET": ShopMarket, "DATABASE": project.FILE},
        ):
            Bid.objects.create(bidder=ann, lot=lots[0], cents=5)

        assert changes() == before

    def test_without_a_configuration_nothing_happens(self) -> None:
        ann, lots = filled()
        before = changes()
        with override_settings(ANGLE_RECO=None):
            user_logged_in.send(sender=type(ann), request=None, user=ann)
            Bid.objects.create(bidder=ann, lot=lots[0], cents=5)
            ann.delete()

        assert changes() == before


def test_a_moment_of_a_row_has_a_time_zone_and_a_day_is_none() -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)

    assert signals._moment(at) is at
    assert signals._moment(at.date()) is None
    naive = signals._moment(at.replace(tzinfo=None))
    assert naive is not None
    assert naive.tzinfo == timezone.get_default_timezone()


def test_a_market_that_cannot_be_used_connects_nothing() -> None:
    class NoValues(ShopMarket):
        bids = Bid.objects.all()

    with override_settings(ANGLE_RECO={"MARKET": NoValues}):
        market = configured().market
        with pytest.raises(ConfigurationError, match=r"has no \.values"):
            signals.connect(market)


class TestThatCommits(TransactionTestCase):
    """Django empties the tables after each test, and ids of users start again."""

    reset_sequences = True

    def check(self) -> None:
        ann, lots = filled()
        Bid.objects.create(bidder=ann, lot=lots[0], cents=5)
        assert recommender().signed_in(ann.pk) is True
        assert recommender().system.stored.get_recommendations(of=ann.pk) is None
        recommender().system.run_job("refresh_user_interests")
        recommender().system.run_job("generate_recommendations")
        assert recommender().system.stored.get_recommendations(of=ann.pk) is not None
        ann.delete()

    def test_first(self) -> None:
        self.check()

    def test_second(self) -> None:
        self.check()


class TestLiveServer(LiveServerTestCase):
    def test_a_server_in_a_thread_shows_suggestions(self) -> None:
        filled()

        with urlopen(self.live_server_url) as page:  # of this process
            assert page.read().decode().count("<li>") == 2
