"""`request.reco`, the template tags, the command and the clock, within tests of a host."""

import asyncio
import json
import logging
import uuid
from contextlib import redirect_stdout
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import sqlalchemy as sa
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.db.models import F
from django.http import HttpResponse, JsonResponse
from django.template import engines
from django.test import RequestFactory, TestCase
from django.test.utils import override_settings
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject

from angle_reco import AccessDeniedError, InvalidValueError, ItemNotFoundError
from angle_reco.django import page_view, recommender
from angle_reco.django.connecting import create_tables
from angle_reco.django.middleware import reco_middleware
from angle_reco.django.testing import manual_clock
from tests.django.shop.models import Bid, Category, Lot, Odd
from tests.django.shop.reco import ShopMarket

ALL_TAGS = """{% load reco %}{% recommended limit=2 as home %}{% similar lot as near %}
{% after_bid lot as next %}{% popular limit=3 category=lot.category as top %}
{{ home|length }} {{ near|length }} {{ next|length }} {{ top|length }}"""


class TestPages(TestCase):
    ann: Any
    lots: list[Any]

    @classmethod
    def setUpTestData(cls) -> None:
        users = get_user_model().objects
        cls.ann, eve = users.create_user("ann"), users.create_user("eve")
        kind = Category.objects.create(name="watches")
        cls.lots = [Lot.objects.create(title=title, category=kind, seller=eve) for title in "abcd"]

    def request_of(self, user: Any) -> Any:
        request = RequestFactory().get("/")
        request.user = user
        reco_middleware(lambda _: HttpResponse())(request)
        return request

    def test_a_visitor_and_a_user_have_views(self) -> None:
        assert self.request_of(AnonymousUser()).reco.user_id is None
        assert self.request_of(self.ann).reco.user_id == self.ann.pk
        assert self.request_of(self.ann).reco.view.interests() == ()
        assert page_view(None).user_id is None

    def test_the_view_takes_objects_and_returns_them(self) -> None:
        page = self.request_of(self.ann).reco

        shelf = page.similar_items(self.lots[0], 2)

        assert [type(one.card) for one in shelf] == [Lot, Lot]
        assert page.after_bid(self.lots[0].pk).ids
        assert page.popular_items(category=self.lots[0].category).ids
        assert page.popular_items(1).next is not None
        with pytest.raises(ItemNotFoundError):
            page.similar_items(0)
        with pytest.raises(InvalidValueError):
            page.homepage(0)

    def test_the_tags_show_what_the_user_may_see(self) -> None:
        Bid.objects.create(bidder=self.ann, lot=self.lots[0], cents=1)
        template = engines["django"].from_string(ALL_TAGS)

        rendered = template.render({"lot": self.lots[0]}, self.request_of(self.ann))

        assert rendered.split() == ["2", "3", "3", "3"]

    def test_a_cursor_in_an_address_is_the_next_page_or_else_the_first(self) -> None:
        def shown(tag: str, query: str) -> str:
            text = f"{{% load reco %}}{{% {tag} limit=2 after=request.GET.after as shelf %}}"
            template = engines["django"].from_string(text + "{{ shelf.ids }}")
            return str(template.render({}, RequestFactory().get(f"/?{query}")))

        page = page_view(None)
        for tag, ask in (("recommended", page.homepage), ("popular", page.popular_items)):
            first, all_ids = ask(2), ask(4).ids
            for query in ("", "after=", "after=odd"):
                assert shown(tag, query) == f"{all_ids[:2]}"
            assert shown(tag, f"after={first.next}") == f"{all_ids[2:]}"

    def test_another_wrong_argument_of_a_tag_is_an_error(self) -> None:
        template = engines["django"].from_string("{% load reco %}{% popular limit=0 as shelf %}")

        with pytest.raises(InvalidValueError, match="limit"):
            template.render({}, RequestFactory().get("/"))

    def test_an_unknown_item_has_no_similar_ones(self) -> None:
        template = engines["django"].from_string(ALL_TAGS)

        for user in (self.ann, AnonymousUser()):
            rendered = template.render({"lot": Lot(pk=0)}, self.request_of(user))
            assert rendered.split()[:3] == ["2", "0", "0"]

    def test_a_template_without_a_request_shows_what_a_visitor_sees(self) -> None:
        Bid.objects.create(bidder=self.ann, lot=self.lots[0], cents=1)
        text = "{% load reco %}{% recommended as home %}{{ home|length }}"

        with self.assertLogs("angle_reco.django", logging.WARNING) as logged:
            rendered = engines["django"].from_string(text).render({})

        assert rendered == "4"
        assert "template has no request" in logged.output[0]

    def test_the_tags_work_without_the_middleware(self) -> None:
        request = RequestFactory().get("/")
        request.user = self.ann
        text = "{% load reco %}{% recommended as home %}{{ home|length }}"
        Bid.objects.create(bidder=self.ann, lot=self.lots[0], cents=1)

        assert engines["django"].from_string(text).render({}, request) == "3"

    def test_the_middleware_works_for_coroutines(self) -> None:
        async def respond(request: Any) -> str:
            return repr(request.reco)

        request = RequestFactory().get("/")
        request.user = self.ann

        answered = asyncio.run(reco_middleware(respond)(request))

        assert answered.startswith("<SimpleLazyObject")

    def test_users_and_items_may_have_other_ids_than_the_key(self) -> None:
        class ByToken(ShopMarket):
            items = Odd.objects.values(item_id=F("token"))
            bids = Odd.objects.values(item_id=F("token"), user_id=F("owner"), placed_at=F("day"))
            watches = None
            cards = None

        odd = Odd.objects.create(code="x", token=uuid.UUID(int=7))
        with override_settings(ANGLE_RECO={"MARKET": ByToken, "PREFIX": "odd_"}):
            create_tables(using="default", verbosity=0)
            [one] = page_view(None).popular_items()

            assert one.card == odd
            assert page_view(None).similar_items(odd).ids == ()

    def test_the_user_of_a_request_may_have_another_id_than_the_key(self) -> None:
        class ByName(ShopMarket):
            users = get_user_model().objects.values(user_id=F("username"))
            items = Lot.objects.values("category_id", item_id=F("pk"))
            bids = Bid.objects.values(
                item_id=F("lot"), user_id=F("bidder__username"), placed_at=F("made_at")
            )
            watches = None

        request = RequestFactory().get("/")
        request.user = SimpleLazyObject(lambda: self.ann)  # as Django's middleware does
        with override_settings(ANGLE_RECO={"MARKET": ByName, "PREFIX": "names_"}):
            create_tables(using="default", verbosity=0)

            assert page_view(request).user_id == "ann"
            with pytest.raises(AccessDeniedError):
                page_view(request).view.homepage(of="eve")
            self.ann.is_superuser = True
            self.ann.save()
            assert len(page_view(request).view.homepage(of="eve")) == 4

    def test_public_columns_are_carried_by_suggestions(self) -> None:
        class Carrying(ShopMarket):
            items = Lot.objects.values(
                "category_id", item_id=F("pk"), kind=F("category__name"), extra=F("tags")
            )
            public = ("kind", "extra")

        Lot.objects.filter(pk=self.lots[0].pk).update(tags={"size": [1, 2]})
        with override_settings(ANGLE_RECO={"MARKET": Carrying}):
            shown = {one.item_id: one.public for one in page_view(None).popular_items()}

        assert shown[self.lots[0].pk] == {"kind": "watches", "extra": {"size": [1, 2]}}
        assert shown[self.lots[1].pk] == {"kind": "watches", "extra": {}}

    def test_a_shelf_is_json_and_can_be_cached_with_objects_as_cards(self) -> None:
        Bid.objects.create(bidder=self.ann, lot=self.lots[0], cents=1_200)
        shelf = page_view(None).popular_items(1)

        [shown] = json.loads(JsonResponse(shelf.to_json()).content)["suggestions"]
        cache.set("shelf", shelf)

        assert (shown["title"], shown["price"]) == ("a", "12")
        assert cache.get("shelf")[0].card == self.lots[0]

    def test_sentences_are_in_the_language_of_the_request(self) -> None:
        with translation.override("de"):
            german = page_view(None).popular_items()[0].sentence
        with translation.override("en"):
            english = page_view(None).popular_items()[0].sentence
        with translation.override(None):
            assert page_view(None).popular_items()[0].sentence == english

        assert german != english

    def test_a_clock_is_moved_by_hand(self) -> None:
        soon = timezone.now() + timedelta(hours=1)
        Lot.objects.filter(pk=self.lots[0].pk).update(closes_at=soon)

        with manual_clock() as clock:
            assert len(page_view(None).popular_items()) == 4
            clock.advance(timedelta(hours=2))
            assert len(page_view(None).popular_items()) == 3

        assert len(page_view(None).popular_items()) == 4


class TestTables(TestCase):
    def test_they_are_created_after_the_migrations(self) -> None:
        def said(**options: Any) -> str:
            with redirect_stdout(StringIO()) as out:
                create_tables(**options)
            return out.getvalue()

        text = "Created or migrated the tables of angle_reco.\n"
        with override_settings(ANGLE_RECO={"MARKET": ShopMarket, "PREFIX": "new_"}):
            assert [said(using=one) for one in ("pg", "default", "default")] == ["", text, ""]
            assert recommender().check() == ()
        for prefix, verbosity, expected in (("quiet_", 0, ""), ("loud_", 1, text)):
            with override_settings(ANGLE_RECO={"MARKET": ShopMarket, "PREFIX": prefix}):
                assert said(using="default", verbosity=verbosity) == expected
        with override_settings(ANGLE_RECO={}):
            assert said(using="default") == ""

    def test_in_tests_they_are_emptied_but_for_the_keys(self) -> None:
        storage = recommender().storage
        assert storage is not None
        tables, database = storage.tables, storage.database
        key = sa.insert(tables.keys).values(name="of a test", value="secret")
        database.write(lambda ours: ours.execute(key))
        recommender().items_changed([1])
        every = {
            one.name: sa.select(sa.func.count()).select_from(one)
            for one in (tables.changes, tables.keys)
        }
        before = {name: database.scalar(count) for name, count in every.items()}

        create_tables(using="default")

        after = {name: database.scalar(count) for name, count in every.items()}
        assert before[tables.changes.name] > 0
        assert after == {**before, tables.changes.name: 0}

    def test_other_tables_in_their_place_are_an_error_of_the_command(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE bad_user_interests (x integer)")
        with (
            override_settings(ANGLE_RECO={"MARKET": ShopMarket, "PREFIX": "bad_"}),
            pytest.raises(CommandError, match=r"tables of angle_reco: .*bad_user_interests"),
        ):
            create_tables(using="default")


class TestCommand(TestCase):
    def said(self, *arguments: str) -> str:
        out = StringIO()
        call_command("reco", *arguments, stdout=out)
        return out.getvalue()

    def test_it_shows_what_the_command_line_shows(self) -> None:
        assert "generate_popular_items" in self.said("stats")
        assert self.said("migrate").startswith("schema: up to date")
        assert self.said("migrate", "status").startswith("schema: up to date")
        assert "CREATE TABLE" in self.said("migrate", "up", "--sql")
        assert "nothing odd was found" in self.said("check")

    def test_json_is_as_the_command_line_writes_it(self) -> None:
        said = self.said("stats", "--json")

        assert said == json.dumps(json.loads(said), indent=2) + "\n"

    def test_a_finding_is_an_exit_status(self) -> None:
        eve = get_user_model().objects.create_user("eve")
        kind = Category.objects.create(name="x")
        Lot.objects.create(title="a", category=kind, seller=eve, state="odd")

        class OddStates(ShopMarket):
            items = Lot.objects.values("category_id", item_id=F("pk"), status=F("state"))

        out = StringIO()
        with (
            override_settings(ANGLE_RECO={"MARKET": OddStates}),
            pytest.raises(SystemExit) as caught,
        ):
            call_command("reco", "check", stdout=out)

        assert caught.value.code == 1
        assert "odd" in out.getvalue()

    def test_help_has_the_options_that_apply(self) -> None:
        for name in ("migrate", "run", "work", "check", "stats"):
            said = self.said(name, "--help")
            assert f"Usage: manage.py reco {name} [OPTIONS]" in said
            for option in ("--app", "--database", "--pooler"):
                assert option not in said
                with pytest.raises(CommandError, match=f"No such option '{option}'"):
                    self.said(name, f"{option}=x")

    def test_options_of_django_may_come_last(self) -> None:
        assert self.said("migrate", "status", "--settings=x", "--pythonpath", "y")

    def test_an_error_is_a_command_error(self) -> None:
        with pytest.raises(CommandError, match="nothing"):
            self.said("run", "nothing")
        with pytest.raises(CommandError, match="down drops every table"):
            self.said("migrate", "down")
        with (
            override_settings(ANGLE_RECO={}),
            pytest.raises(CommandError, match="ANGLE_RECO has no MARKET"),
        ):
            self.said("stats")


def test_fixtures_of_pytest_give_the_recommender_and_its_clock(
    request: pytest.FixtureRequest,
) -> None:
    from angle_reco.django import testing

    asked: list[str] = []

    class Request:
        def getfixturevalue(self, name: str) -> None:
            asked.append(name)

    clocks = testing.reco_clock.__wrapped__()  # type: ignore[attr-defined]  # of a fixture
    clock = next(clocks)
    reco = testing.reco.__wrapped__(Request(), clock)  # type: ignore[attr-defined]  # of a fixture

    assert reco.ports.clock is clock
    assert asked == ["db"]
    assert next(clocks, None) is None
    assert recommender().ports.clock is not clock


def test_the_models_need_no_migration_of_the_host() -> None:
    loader = MigrationLoader(None, ignore_no_migrations=True)
    state = ProjectState.from_apps(apps)
    changes = MigrationAutodetector(loader.project_state(), state).changes(loader.graph)

    assert "angle_reco" not in changes
