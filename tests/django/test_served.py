"""What a process that serves does: connections beside Django's, events in its transactions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from django.contrib.auth import get_user_model
from django.db import connections, transaction
from django.db.models import F
from django.db.models.functions import TruncDate
from django.http import HttpResponse
from django.test import RequestFactory

from angle_reco.django import connecting, recommender, report
from angle_reco.django.configuration import configured
from angle_reco.django.engines import engine_of
from angle_reco.django.middleware import reco_middleware
from tests.django import project
from tests.django.shop.models import Bid, Category, Lot, SpecialLot, Watch


@pytest.fixture
def shop(served: str) -> Any:
    users = get_user_model().objects
    kind = Category.objects.create(name="watches")
    eve = users.create_user("eve")
    lots = [Lot.objects.create(title=title, category=kind, seller=eve) for title in ("a", "b", "c")]
    return users.create_user("ann"), lots


@contextmanager
def opened(alias: str) -> Iterator[sa.Connection]:
    """Open a connection as the library does, and close it."""
    engine = engine_of(connections[alias])
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def count(alias: str) -> int:
    """Return how many changes are committed."""
    with opened(alias) as connection:
        return int(connection.scalar(sa.text("SELECT count(*) FROM angle_reco_changes")) or 0)


def test_mail_kept_in_memory_makes_no_test_of_a_server(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.core.mail.outbox", [], raising=False)

    assert recommender().storage is not None
    assert not connecting.is_test()


def test_the_recommender_is_one_for_the_process_and_opens_nothing(served: str) -> None:
    reco = recommender()

    assert reco is recommender()
    assert reco.storage is not None
    assert not reco.storage.is_borrowed
    assert reco.storage.statements.count == 0
    assert reco.storage.database.engine.dialect.name == connections[served].vendor


@pytest.mark.parametrize("commits", [True, False])
def test_an_event_is_committed_with_the_row(served: str, shop: Any, commits: bool) -> None:
    ann, lots = shop
    before = count(served)

    with transaction.atomic(served):
        Bid.objects.create(bidder=ann, lot=lots[0], cents=5_000)
        Watch.objects.create(user=ann, lot=lots[1])
        assert count(served) == before
        assert recommender().as_user(ann.pk).homepage().ids == (lots[2].pk,)
        transaction.set_rollback(not commits, served)

    assert count(served) - before == (2 if commits else 0)
    assert recommender().system.stats().events_failed == 0


def test_what_changes_an_object_is_reported(served: str, shop: Any) -> None:
    ann, lots = shop
    reco = recommender()

    def page() -> set[Any]:
        return set(reco.as_user(ann.pk).homepage().ids)

    everything = {one.pk for one in lots}
    assert page() == everything
    bid = Bid.objects.create(bidder=ann, lot=lots[0], cents=5_000)
    assert page() == everything - {lots[0].pk}
    bid.is_cancelled = True
    bid.save()
    assert page() == everything
    bid.is_cancelled = False
    bid.save()
    assert page() == everything - {lots[0].pk}
    bid.delete()
    assert page() == everything
    watch = Watch.objects.create(user=ann, lot=lots[1])
    assert page() == everything - {lots[1].pk}
    watch.delete()
    SpecialLot.objects.get(pk=lots[2].pk).delete()
    assert lots[2].pk not in page()


def test_an_amount_is_the_price_at_once(served: str, shop: Any) -> None:
    ann, lots = shop
    assert recommender().anonymous.popular_items().ids

    Bid.objects.create(bidder=ann, lot=lots[0], cents=700_000)

    prices = {one.item_id: one.card.price for one in recommender().anonymous.popular_items()}
    assert prices[lots[0].pk] == 7_000


def test_an_expression_as_a_value_is_read_again(served: str, shop: Any) -> None:
    ann, lots = shop
    bid = Bid.objects.create(bidder=ann, lot=lots[0], cents=500)
    before = count(served)

    bid.cents = F("cents") + 100
    bid.save()

    assert count(served) == before + 1
    assert recommender().system.stats().events_failed == 0


@pytest.mark.parametrize("commits", [True, False])
def test_a_user_is_erased_with_the_row_or_not_at_all(served: str, shop: Any, commits: bool) -> None:
    ann, lots = shop
    Bid.objects.create(bidder=ann, lot=lots[0], cents=500)
    user_id, reco = ann.pk, recommender()
    reco.system.run_job("refresh_user_interests")
    assert reco.system.interests(of=user_id)

    with transaction.atomic(served):
        get_user_model().objects.get(pk=user_id).delete()
        transaction.set_rollback(not commits, served)

    assert bool(reco.system.interests(of=user_id)) is not commits
    assert reco.signed_in(user_id) is not commits


def test_report_takes_what_sends_no_signal(served: str, shop: Any) -> None:
    ann, lots = shop
    before = count(served)
    bids = Bid.objects.bulk_create([Bid(bidder=ann, lot=lots[0], cents=1)])
    watches = Watch.objects.bulk_create([Watch(user=ann, lot=lots[1])])

    assert (report(bids), report(watches), report(Lot.objects.all())) == (1, 1, 3)
    assert report([]) == 0

    assert count(served) == before + 3
    assert recommender().as_user(ann.pk).homepage().ids == (lots[2].pk,)


def test_what_is_no_object_of_the_market_is_not_reported(served: str) -> None:
    with pytest.raises(ValueError, match="object to report is 'Category'"):
        report([Category(name="x")])


def test_cards_are_objects_read_with_one_query(
    served: str, shop: Any, django_assert_queries: Any
) -> None:
    from angle_reco.django import page_view

    page = page_view(None)
    page.popular_items()

    with django_assert_queries(served, 1):
        names = [(one.card.title, one.card.category.name) for one in page.popular_items()]

    assert sorted(names) == [("a", "watches"), ("b", "watches"), ("c", "watches")]


@pytest.fixture
def django_assert_queries() -> Any:
    from django.test.utils import CaptureQueriesContext

    @contextmanager
    def check(alias: str, expected: int) -> Any:
        with CaptureQueriesContext(connections[alias]) as captured:
            yield
        assert len(captured) == expected, captured.captured_queries

    return check


def test_django_functions_work_on_our_connections(served: str, shop: Any) -> None:
    from django.test.utils import override_settings

    from angle_reco.django import Market
    from tests.django.shop.reco import ShopMarket

    class ByDay(ShopMarket):
        items = Lot.objects.filter(title__iregex="^[AB]$").values(
            "title", item_id=F("pk"), ends_at=TruncDate("closes_at")
        )

    assert issubclass(ByDay, Market)
    configured = {"MARKET": ByDay, "DATABASE": served}
    with override_settings(ANGLE_RECO=configured):
        assert len(recommender().anonymous.popular_items()) == 2


class TestEngines:
    @pytest.fixture(autouse=True)
    def _options(self, postgres: None, monkeypatch: pytest.MonkeyPatch) -> None:
        options = {"application_name": "the shop", "assume_role": "pg_read_all_data"}
        monkeypatch.setitem(connections.settings[project.POSTGRES], "OPTIONS", options)

    @pytest.mark.postgres
    def test_connections_are_made_with_the_options_of_django(self) -> None:
        with opened(project.POSTGRES) as connection:
            found = connection.execute(
                sa.text("SELECT current_user, current_setting('application_name')")
            )

            assert tuple(found.one()) == ("pg_read_all_data", "the shop")

    @pytest.mark.postgres
    def test_a_backend_says_for_each_connection_how_it_is_made(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wrapper = connections[project.POSTGRES]
        token = {"token": "expired"}
        engine = engine_of(wrapper)
        usual = wrapper.get_connection_params()
        monkeypatch.setattr(
            wrapper, "get_connection_params", lambda: {**usual, "application_name": token["token"]}
        )
        token["token"] = "new"

        with engine.connect() as connection:
            assert connection.scalar(sa.text("SHOW application_name")) == "new"
            raw = connection.connection.driver_connection
            assert type(raw) is psycopg.Connection
            assert raw.cursor_factory is psycopg.Cursor
        engine.dispose()

    @pytest.mark.postgres
    @pytest.mark.parametrize("is_pooled", [True, False])
    def test_without_server_side_cursors_there_is_a_pooler(
        self, monkeypatch: pytest.MonkeyPatch, is_pooled: bool
    ) -> None:
        from django.test.utils import _TestState

        monkeypatch.setitem(connections.settings[project.POSTGRES], "OPTIONS", {})
        monkeypatch.setitem(
            connections.settings[project.POSTGRES], "DISABLE_SERVER_SIDE_CURSORS", is_pooled
        )
        monkeypatch.delattr(_TestState, "saved_data")
        with project.on(project.POSTGRES):
            storage = recommender().storage
            assert storage is not None
            with storage.database.reading() as connection:
                raw: Any = connection.connection.driver_connection

                assert (raw.prepare_threshold is None) is is_pooled
            connecting.forget()


def test_after_an_event_the_next_page_knows_it_in_any_process(served: str, shop: Any) -> None:
    ann, lots = shop
    mine, configuration = recommender(), configured()
    another = connecting._with_own_connections(configuration, connections[served])
    cookies = dict[str, str]()

    def asked(view: Callable[[Any], Any] = lambda _: HttpResponse()) -> Any:
        request = RequestFactory().get("/")
        request.user, request.COOKIES = ann, cookies
        response = reco_middleware(view)(request)
        cookies.update({name: one.value for name, one in response.cookies.items()})
        return request, response

    def bid(_: Any) -> HttpResponse:
        Bid.objects.create(bidder=ann, lot=lots[0], cents=5_000)
        return HttpResponse()

    view = another.as_user(ann.pk)
    assert set(view.homepage().ids) == {one.pk for one in lots}
    view.homepage()
    assert asked()[1].cookies == {}

    _, response = asked(bid)

    [cookie] = response.cookies.values()
    assert (cookie["max-age"], cookie["httponly"], cookie["samesite"]) == (5, True, "Lax")
    connecting._own[id(configuration)] = another
    request, _ = asked()
    assert set(request.reco.homepage().ids) == {one.pk for one in lots[1:]}
    connecting._own[id(configuration)] = mine
    another.close()
