"""What `manage.py check` says about a configuration that cannot be used: one clear line."""

import logging
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import F
from django.test import TestCase
from django.test.utils import override_settings

from angle_reco import Settings
from angle_reco.django import Market, page_view, recommender
from angle_reco.django.checks import check_database
from angle_reco.django.configuration import ConfigurationError
from angle_reco.django.market import MappedMarket
from tests.django import project
from tests.django.shop.models import Bid, Lot, Odd
from tests.django.shop.reco import ShopMarket

SETTINGS = Settings(cache_enabled=False)
NO_SETTINGS = "none"


class NoItems(ShopMarket):
    items = None


class NoValues(ShopMarket):
    items = Lot.objects.all()


class NoMoment(ShopMarket):
    bids = Bid.objects.values(item_id=F("lot"), user_id=F("bidder"))


class Unknown(ShopMarket):
    users = get_user_model().objects.values("email", user_id=F("pk"))


class OddIds(ShopMarket):
    users = Odd.objects.values(user_id=F("weight"))


class OtherCards(ShopMarket):
    cards = Bid.objects.all()


class OfOthers(ShopMarket):
    cards = None
    items = Odd.objects.values(item_id=F("token"))


class OfData(ShopMarket):
    cards = None
    items = Odd.objects.values(item_id=F("owner"), title_=F("data"))


HERE = "tests.django.test_checks"

BAD: list[tuple[Any, str, str]] = [
    (None, "E001", "ANGLE_RECO is not set"),
    ({}, "E001", "ANGLE_RECO has no MARKET"),
    ([], "E002", "ANGLE_RECO is a list, no dict"),
    ({"MARKT": "x"}, "E002", "ANGLE_RECO has an unknown key 'MARKT'"),
    ({"MARKET": "shop.nowhere.Market"}, "E003", "MARKET 'shop.nowhere.Market' cannot be imported"),
    ({"MARKET": f"{HERE}.SETTINGS"}, "E003", "is no subclass of angle_reco.django.Market"),
    ({"MARKET": Lot}, "E003", "is no subclass of angle_reco.django.Market"),
    ({"MARKET": f"{HERE}.NoItems"}, "E004", "NoItems has no items"),
    ({"MARKET": f"{HERE}.NoValues"}, "E005", "NoValues.items: it has no .values(…)"),
    ({"MARKET": f"{HERE}.NoMoment"}, "E006", "bids has no column labelled placed_at"),
    ({"MARKET": f"{HERE}.Unknown"}, "E006", "users has a column 'email'"),
    ({"MARKET": f"{HERE}.OddIds"}, "E007", "OddIds.users: user_id is a FloatField, which holds no"),
    ({"MARKET": f"{HERE}.OtherCards"}, "E008", "cards are objects of Bid, and items of Lot"),
    ({"MARKET": f"{HERE}.OfOthers"}, "E008", "bids: item_id has ids of the kind int, and items"),
    ({"MARKET": f"{HERE}.OfData"}, "E007", "OfData.items: title is a JSONField, which holds no"),
    ({"MARKET": ShopMarket, "DATABASE": "x"}, "E009", "DATABASE 'x' is not one of DATABASES"),
    ({"MARKET": ShopMarket, "SETTINGS": 5}, "E002", "SETTINGS is no angle_reco.Settings"),
    ({"MARKET": ShopMarket, "SETTINGS": f"{HERE}.MISSING"}, "E002", "SETTINGS cannot be imported"),
    ({"MARKET": ShopMarket, "SETTINGS": f"{HERE}.NO_SETTINGS"}, "E002", "SETTINGS is no"),
    ({"MARKET": ShopMarket, "SCHEMA": 5}, "E002", "SCHEMA is 5, and should be a text or None"),
    ({"MARKET": ShopMarket, "JOBS_IN_SERVERS": "no"}, "E002", "should be True or False"),
]


@pytest.mark.parametrize(("given", "id", "text"), BAD)
def test_a_bad_configuration_is_one_clear_line(given: Any, id: str, text: str) -> None:
    with override_settings(ANGLE_RECO=given):
        [message] = [one for one in run_checks() if one.id.startswith("angle_reco")]

        assert message.id == f"angle_reco.{id}"
        assert text in message.msg
        assert "\n" not in message.msg
        assert message.is_serious()


@pytest.mark.parametrize(("given", "id", "text"), BAD[:1] + BAD[8:10])
def test_a_page_is_not_broken_by_it(
    given: Any, id: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(ANGLE_RECO=given):
        shelf = page_view(None).popular_items()

        assert (len(shelf), shelf.degraded_by) == (0, ("configuration",))
        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert text in record.getMessage()
        with pytest.raises(ConfigurationError, match=text.split("(", maxsplit=1)[0]):
            recommender()


def test_at_the_start_it_is_logged_and_the_process_starts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with override_settings(ANGLE_RECO={}):
        apps.get_app_config("angle_reco").ready()

    [record] = caplog.records
    assert record.getMessage() == (
        "django integration is off: check=angle_reco.E001 configuration=ANGLE_RECO has no MARKET"
    )


def test_a_good_configuration_has_no_messages() -> None:
    with override_settings(ANGLE_RECO={"MARKET": ShopMarket, "SETTINGS": f"{HERE}.SETTINGS"}):
        assert [one for one in run_checks() if one.id.startswith("angle_reco")] == []
        assert recommender().settings.ids.item.value == "int"


def test_kinds_of_ids_are_those_of_the_fields() -> None:
    class ByText(Market):
        users = Odd.objects.values(user_id=F("token"))
        items = Odd.objects.values(item_id=F("code"))
        bids = Odd.objects.values(item_id=F("code"), user_id=F("token"), placed_at=F("day"))

    kinds = MappedMarket(ByText(), project.SQLITE).id_kinds

    assert (kinds.user.value, kinds.item.value, kinds.category.value) == ("uuid", "text", "text")


def test_another_database_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(connections[project.SQLITE]), "vendor", "mysql")

    with override_settings(ANGLE_RECO={"MARKET": ShopMarket}):
        [message] = [one for one in run_checks() if one.id.startswith("angle_reco")]

    assert message.id == "angle_reco.E009"
    assert message.msg == "the database 'default' is mysql; supported are PostgreSQL and SQLite"


def test_a_queryset_with_a_wrong_name_is_a_warning() -> None:
    class Misnamed(ShopMarket):
        watch = Bid.objects.values(item_id=F("lot"), user_id=F("bidder"))
        _open = Bid.objects.all()
        currency = "EUR"

    with override_settings(ANGLE_RECO={"MARKET": Misnamed}):
        [message] = [one for one in run_checks() if one.id.startswith("angle_reco")]

    assert message.id == "angle_reco.W002"
    assert message.msg == (
        "Misnamed.watch is not read: a market has users, items, bids, watches, categories, "
        "public, cards"
    )


class TestTables:
    def test_missing_ones_are_a_warning_that_says_what_to_run(self) -> None:
        given = {"MARKET": ShopMarket, "PREFIX": "other_"}
        with override_settings(ANGLE_RECO=given):
            [message] = check_database(None, [project.SQLITE])

        assert message.id == "angle_reco.W010"
        assert message.msg.endswith(
            "has no table other_version: create our tables with `manage.py reco migrate`"
        )
        assert message.hint.startswith("Run manage.py migrate")
        assert not message.is_serious()

    def test_on_a_database_without_migrations_nothing_is_missing_yet(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(MigrationRecorder, "applied_migrations", lambda _: {("auth", "1"): 0})

        with override_settings(ANGLE_RECO={"MARKET": ShopMarket, "PREFIX": "other_"}):
            assert check_database(None, [project.SQLITE]) == []

    def test_present_ones_are_fine(self) -> None:
        assert check_database(None, [project.SQLITE]) == []

    def test_other_databases_are_not_asked(self) -> None:
        with override_settings(ANGLE_RECO={"MARKET": ShopMarket, "PREFIX": "other_"}):
            assert check_database(None, None) == []
            assert check_database(None, [project.POSTGRES]) == []

    def test_without_a_configuration_the_other_check_says_why(self) -> None:
        with override_settings(ANGLE_RECO=None):
            assert check_database(None, [project.SQLITE]) == []

    def test_without_them_a_page_is_empty_and_the_log_says_why(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with override_settings(ANGLE_RECO={"MARKET": ShopMarket, "PREFIX": "other_"}):
            shelf = page_view(None).homepage()

        assert len(shelf) == 0
        assert shelf.degraded_by == ("configuration",)
        assert any(
            "page without suggestions, see the checks: error=SchemaError" in one.getMessage()
            for one in caplog.records
        )


class TestStored(TestCase):
    def test_old_ones_are_a_warning_with_the_command_of_django(self) -> None:
        with connections[project.SQLITE].cursor() as cursor:
            cursor.execute("UPDATE angle_reco_version SET version_num = '0004'")

        [message] = check_database(None, [project.SQLITE])

        assert message.id == "angle_reco.W010"
        assert "are at revision 0004, this release needs" in message.msg
        assert message.msg.endswith(": run `manage.py reco migrate`")
        with pytest.raises(CommandError, match=r"run `manage\.py reco migrate`"):
            call_command("reco", "migrate", "status")

    def test_another_application_with_other_settings_is_a_warning(self) -> None:
        given = {"MARKET": ShopMarket, "SETTINGS": Settings(ranker="classic")}
        recommender().system.run_job("train_models")
        assert check_database(None, [project.SQLITE]) == []

        with override_settings(ANGLE_RECO=given):
            [message] = check_database(None, [project.SQLITE])

        assert message.id == "angle_reco.W011"
        assert message.msg == (
            "the last run of train_models had other settings: they changed since, or two"
            " applications differ"
        )
        assert "PREFIX" in message.hint


def test_the_middleware_comes_after_the_one_of_users() -> None:
    with override_settings(MIDDLEWARE=list(reversed(project.SETTINGS["MIDDLEWARE"]))):
        [message] = [one for one in run_checks() if one.id.startswith("angle_reco")]

    assert message.id == "angle_reco.E010"
    assert "every user is a visitor" in message.msg


def test_templates_need_the_request() -> None:
    [template] = project.SETTINGS["TEMPLATES"]
    with override_settings(TEMPLATES=[{**template, "OPTIONS": {}}]):
        [message] = [one for one in run_checks() if one.id.startswith("angle_reco")]

    assert message.id == "angle_reco.W001"
    assert not message.is_serious()
