"""Ten usual tests of a host in Django's TestCase, on both databases: none has a surprise."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import transaction
from django.test import TestCase
from django.utils import timezone

from angle_reco import AccessDeniedError
from angle_reco.django import recommender, report
from tests.django import project
from tests.django.shop.models import Bid, Category, Lot, Watch


class UsualTests(project.OnDatabase):
    """The tests; a subclass says on which database."""

    databases: frozenset[str]
    client: Any
    ann: Any
    bob: Any
    eve: Any
    watches: Any
    cameras: Any
    omega: Any
    heuer: Any
    rolex: Any
    leica: Any

    @classmethod
    def setUpTestData(cls) -> None:
        users = get_user_model().objects
        cls.ann, cls.bob, cls.eve = (users.create_user(name) for name in ("ann", "bob", "eve"))
        cls.watches, cls.cameras = (Category.objects.create(name=name) for name in ("w", "c"))
        cls.omega, cls.heuer, cls.rolex = (
            Lot.objects.create(title=title, category=cls.watches, seller=cls.eve)
            for title in ("Omega", "Heuer", "Rolex")
        )
        cls.leica = Lot.objects.create(title="Leica", category=cls.cameras, seller=cls.bob)

    def page(self, path: str = "/") -> str:
        return str(self.client.get(path).content.decode())

    def test_a_visitor_sees_popular_items(self) -> None:
        Watch.objects.create(user=self.ann, lot=self.leica)

        page = self.page()

        assert page.index("Leica (c): ") < page.index("Heuer (w): ")

    def test_a_bid_changes_the_next_page_of_its_user(self) -> None:
        self.client.force_login(self.ann)
        assert "<li>Omega" in self.page()

        self.client.post(f"/lots/{self.omega.pk}/bid/", {"cents": 2_000})

        page = self.page()
        assert "<li>Omega" not in page
        assert page.index("Heuer") < page.index("Leica")

    def test_a_request_that_fails_leaves_nothing(self) -> None:
        self.client.force_login(self.ann)

        with pytest.raises(ValueError, match="fails after the bid"):
            self.client.post(f"/lots/{self.omega.pk}/bid/", {"cents": 2_000, "fail": "1"})

        assert Bid.objects.count() == 0
        assert "Omega" in self.page()

    def test_a_rolled_back_block_leaves_nothing(self) -> None:
        with transaction.atomic(self.alias):
            Bid.objects.create(bidder=self.ann, lot=self.omega, cents=1)
            assert self.omega.pk not in recommender().as_user(self.ann.pk).homepage().ids
            transaction.set_rollback(True, self.alias)

        assert self.omega.pk in recommender().as_user(self.ann.pk).homepage().ids

    def test_a_withdrawn_item_is_gone_and_its_card_is_an_object(self) -> None:
        self.omega.state = Lot.State.SOLD
        self.omega.save()

        shelf = recommender().anonymous.popular_items(cards=Lot.objects.in_bulk)

        assert self.omega.pk not in shelf.ids
        assert {type(one.card) for one in shelf} == {Lot}

    def test_update_and_bulk_create_are_reported_by_hand(self) -> None:
        bids = Bid.objects.bulk_create(
            [
                Bid(bidder=self.ann, lot=self.omega, cents=5),
                Bid(bidder=self.bob, lot=self.rolex, cents=5),
            ]
        )
        Lot.objects.filter(pk=self.heuer.pk).update(state=Lot.State.DRAFT)

        assert report(bids) == 2
        assert report(Lot.objects.filter(pk=self.heuer.pk)) == 1
        assert recommender().as_user(self.ann.pk).homepage().ids == (self.rolex.pk, self.leica.pk)

    def test_a_user_who_is_deleted_is_erased(self) -> None:
        Bid.objects.create(bidder=self.ann, lot=self.omega, cents=1)
        recommender().system.run_job("refresh_user_interests")
        ann = self.ann.pk
        assert recommender().system.interests(of=ann)

        get_user_model().objects.get(pk=ann).delete()

        assert recommender().system.interests(of=ann) == ()
        assert recommender().signed_in(ann) is False

    def test_a_sign_in_counts(self) -> None:
        self.client.force_login(self.ann)

        signed_in = recommender().system.sign_ins(of=self.ann.pk)

        assert signed_in is not None
        assert signed_in.count == 1

    def test_permissions_are_those_of_django(self) -> None:
        view = recommender().as_user(self.bob.pk)
        with pytest.raises(AccessDeniedError):
            view.homepage(of=self.ann.pk)

        names = ("manage_recommendations", "inspect_users")
        self.bob.user_permissions.set(
            Permission.objects.filter(codename__in=names, content_type__app_label="angle_reco")
        )

        assert self.leica.pk in view.homepage(of=self.ann.pk).ids

    def test_the_jobs_run_as_a_command_within_the_test(self) -> None:
        Lot.objects.filter(pk=self.omega.pk).update(closes_at=timezone.now() + timedelta(days=2))
        Bid.objects.create(bidder=self.ann, lot=self.omega, cents=1)

        call_command("reco", "run", "all")

        assert "Heuer" in self.page(f"/lots/{self.omega.pk}/")
        stored = recommender().system.stored.get_recommendations(of=self.ann.pk)
        assert stored is not None
        assert self.heuer.pk in {line.item_id for line in stored.lines}


class TestOnSqlite(UsualTests, TestCase):
    alias = project.SQLITE
    databases = frozenset({project.SQLITE})


@pytest.mark.postgres
@pytest.mark.usefixtures("postgres")
class TestOnPostgres(UsualTests, TestCase):
    alias = project.POSTGRES
    databases = frozenset({project.SQLITE, project.POSTGRES})
