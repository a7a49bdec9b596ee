"""Objects, markets and templates as they are at their oddest: no page and no request breaks."""

import logging
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in
from django.core.checks import run_checks
from django.db.models import BinaryField, F, Value
from django.template import Context, Template, TemplateSyntaxError
from django.test import RequestFactory, TestCase
from django.test.utils import override_settings

from angle_reco import InvalidValueError
from angle_reco.django import page_view, recommender, report
from angle_reco.django.configuration import ConfigurationError
from angle_reco.django.market import MarketError
from angle_reco.django.middleware import _COOKIE, reco_middleware
from tests.django.shop.models import Bid, Lot, Odd, SpecialBid, Watch
from tests.django.shop.reco import ShopMarket
from tests.django.test_signals import Union, changes, filled


class Sliced(ShopMarket):
    bids = Bid.objects.order_by("-pk").values(
        item_id=F("lot"), user_id=F("bidder"), placed_at=F("made_at")
    )[:1_000]


class OfProxies(ShopMarket):
    bids = SpecialBid.objects.values(item_id=F("lot"), user_id=F("bidder"), placed_at=F("made_at"))


class OneModel(ShopMarket):
    """Bids and watches are rows of one model."""

    watches = Bid.objects.filter(is_cancelled=True).values(
        item_id=F("lot"), user_id=F("bidder"), watched_at=F("made_at")
    )


class ByOwner(ShopMarket):
    """Users are rows of another model, which refers to those of Django."""

    users = Odd.objects.values(user_id=F("owner"))


class ByOtherKey(ShopMarket):
    """Ids of lots, which `request.user` does not have."""

    users = Lot.objects.values(user_id=F("pk"))


class Shifted(ShopMarket):
    users = get_user_model().objects.values(user_id=F("pk") + 1)


class NoQueryset(ShopMarket):
    cards = Lot


class ValuesAsCards(ShopMarket):
    cards = Lot.objects.values("pk")


class SlicedCards(ShopMarket):
    cards = Lot.objects.all()[:5]


class NothingPublic(ShopMarket):
    public: Any = None


class OfBytes(ShopMarket):
    items = Lot.objects.values(
        "category_id", item_id=F("pk"), image=Value(b"\xff", output_field=BinaryField())
    )
    public = ("image",)


def using(market: Any, **more: Any) -> Any:
    return override_settings(ANGLE_RECO={"MARKET": market, **more})


BAD = [
    ({"MARKET": ByOtherKey}, "E008", "user_id is no field of User, and no reference to it"),
    ({"MARKET": Shifted}, "E008", "user_id is no field of User, and no reference to it"),
    ({"MARKET": NoQueryset}, "E005", "NoQueryset.cards: it is a ModelBase"),
    ({"MARKET": ValuesAsCards}, "E005", "ValuesAsCards.cards: it has a slice, or values"),
    ({"MARKET": SlicedCards}, "E005", "SlicedCards.cards: it has a slice, or values"),
    ({"MARKET": NothingPublic}, "E006", "public is None"),
    ({"MARKET": OfBytes}, "E007", "OfBytes.items: image is a BinaryField, which holds no"),
    ({"MARKET": ShopMarket, "SCHEMA": "x"}, "E002", "schema of tables is 'x'"),
    ({"MARKET": ShopMarket, "PREFIX": "a b"}, "E002", "prefix of tables is 'a b'"),
    ({"MARKET": ShopMarket, "DATABASE": []}, "E009", "DATABASE [] is not one of DATABASES"),
]


@pytest.mark.parametrize(("given", "id", "text"), BAD)
def test_a_bad_value_is_one_clear_line(given: Any, id: str, text: str) -> None:
    with override_settings(ANGLE_RECO=given):
        [message] = [one for one in run_checks() if one.id.startswith("angle_reco")]

    assert message.id == f"angle_reco.{id}"
    assert text in message.msg


@pytest.mark.parametrize("kind", [ConfigurationError, MarketError])
def test_an_error_of_the_configuration_reads_as_its_message(kind: Any) -> None:
    assert str(kind("E005", "it has a slice", "leave it out")) == "it has a slice"


class TestRequests(TestCase):
    def test_none_fails_where_the_configuration_cannot_be_used(self) -> None:
        ann, lots = filled()
        for given in [one for one, _, _ in BAD]:
            with (
                override_settings(ANGLE_RECO=given),
                self.assertLogs("angle_reco.django.signals", logging.ERROR) as logs,
            ):
                user_logged_in.send(sender=type(ann), request=None, user=ann)
                bid = Bid.objects.create(bidder=ann, lot=lots[0], cents=5)
                bid.delete()
                lots[0].save()
            assert "event not reported: check=angle_reco.E0" in logs.output[0]

        assert Bid.objects.count() == 0

    def test_the_page_after_an_event_is_shown_where_the_configuration_cannot_be_used(self) -> None:
        ann, _ = filled()
        request = RequestFactory().get("/")
        request.user, request.COOKIES = ann, {_COOKIE: "1"}
        for given in [one for one, _, _ in BAD]:
            with override_settings(ANGLE_RECO=given), self.assertLogs("angle_reco.django"):
                assert reco_middleware(lambda asked: len(asked.reco.homepage()))(request) == 0

    def test_objects_with_deferred_fields_can_be_deleted(self) -> None:
        ann, lots = filled()
        Bid.objects.create(bidder=ann, lot=lots[0], cents=5)
        Watch.objects.create(user=ann, lot=lots[0])
        before = changes()

        Bid.objects.only("pk").get().delete()
        Watch.objects.only("pk").get().delete()

        assert changes() == before + 2

    def test_a_slice_and_a_union_report_their_objects(self) -> None:
        ann, lots = filled()
        for market in (Sliced, Union):
            with using(market):
                before = changes()
                [bid] = Bid.objects.bulk_create([Bid(bidder=ann, lot=lots[0], cents=5)])
                assert report([bid]) == 1
                assert changes() == before + 1

    def test_objects_of_the_model_behind_a_proxy_are_reported(self) -> None:
        ann, lots = filled()
        with using(OfProxies):
            assert report([Bid.objects.create(bidder=ann, lot=lots[0], cents=5)]) == 1

    def test_one_model_of_bids_and_watches(self) -> None:
        ann, lots = filled()
        with using(OneModel):
            watch = Bid(bidder=ann, lot=lots[0], cents=5, is_cancelled=True)
            bid = Bid(bidder=ann, lot=lots[1], cents=5)
            before = changes()
            Bid.objects.bulk_create([watch, bid])

            assert report([watch, bid]) == 2
            assert changes() == before + 2

    def test_nothing_is_reported_of_a_list_with_a_stranger(self) -> None:
        ann, lots = filled()
        before = changes()

        bid = Bid.objects.bulk_create([Bid(bidder=ann, lot=lots[0], cents=5)])[0]
        with pytest.raises(InvalidValueError, match="object to report is 'User'"):
            report([lots[0], bid, ann])
        # As `bulk_create(…, ignore_conflicts=True)` returns them.
        with pytest.raises(InvalidValueError, match="'Bid', but should be a saved bid, watch"):
            report([bid, Bid(bidder=ann, lot=lots[0], cents=5)])

        assert changes() == before

    def test_a_request_that_signs_in_or_out_shows_the_lists_of_its_user(self) -> None:
        ann, lots = filled()
        bob = get_user_model().objects.create_user("bob")
        Bid.objects.create(bidder=ann, lot=lots[0], cents=5)
        seen = []

        def view(request: Any) -> None:
            for user in (ann, bob, AnonymousUser(), ann):
                request.user = user
                seen.append((request.reco.user_id, lots[0].pk in request.reco.homepage().ids))

        reco_middleware(view)(RequestFactory().get("/"))

        assert seen == [(ann.pk, False), (bob.pk, True), (None, True), (ann.pk, False)]

    def test_users_of_another_model_are_those_it_refers_to(self) -> None:
        filled()
        bob = get_user_model().objects.create_user("bob")
        Odd.objects.create(code="a", token="7b2e5b52-1f3e-4a53-9a4e-0d5c1a3f5b11", owner=bob)
        request = RequestFactory().get("/")
        request.user = bob
        with using(ByOwner):
            assert page_view(request).user_id == bob.pk


class TestTemplates(TestCase):
    def shown(self, tag: str, **values: Any) -> int:
        request = RequestFactory().get("/")
        request.user = values.pop("user")
        text = f"{{% load reco %}}{{% {tag} as shelf %}}{{{{ shelf|length }}}}"
        return int(Template(text).render(Context({"request": request, **values})))

    def test_what_is_no_item_has_an_empty_shelf(self) -> None:
        ann, lots = filled()
        for user in (ann, None):
            for tag in ("similar item", "after_bid item"):
                for item in (Lot(title="new"), None, "", "x", 3.5, 10**30, -1, True, object()):
                    assert self.shown(tag, user=user, item=item) == 0
                assert self.shown(tag, user=user, item=str(lots[0].pk)) == 1

    def test_the_name_of_a_shelf_is_needed_and_may_come_first(self) -> None:
        _, lots = filled()
        request = RequestFactory().get("/")
        for tag in ("recommended as s limit=1", "popular limit=1 as s", "similar lot as s limit=1"):
            text = f"{{% load reco %}}{{% {tag} %}}{{{{ s|length }}}}"
            assert Template(text).render(Context({"request": request, "lot": lots[0]})) == "1"
        for tag in ("recommended", "similar lot limit=1", "popular as"):
            name = tag.split()[0]
            with pytest.raises(TemplateSyntaxError, match=rf"'{name}' gives a shelf, .* as shelf"):
                Template(f"{{% load reco %}}{{% {tag} %}}")

    def test_categories_of_a_url(self) -> None:
        ann, lots = filled()
        kind = lots[0].category
        for value, size in [(kind, 2), (str(kind.pk), 2), ("", 2), (None, 2), ("x", 0), ("77", 0)]:
            assert self.shown("popular category=kind", user=ann, kind=value) == size

    def test_what_is_no_cursor_shows_the_first_page(self) -> None:
        ann, _ = filled()
        other = recommender().anonymous.popular_items(1).next
        for after in ("", None, "junk", 5, other):
            for tag in ("recommended", "popular"):
                assert self.shown(f"{tag} after=after", user=ann, after=after) >= 1
        for tag in ("recommended", "popular"):
            with pytest.raises(InvalidValueError, match="limit is 0"):
                self.shown(f"{tag} limit=0", user=ann)
