"""Who may read what: asked before anything is looked up, and answered alike for all."""

import inspect
import logging
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import timedelta
from threading import Event
from typing import Any

import attrs
import pytest

from angle_reco import (
    AccessDeniedError,
    InvalidValueError,
    Recommender,
    Settings,
    StoredView,
    UserId,
    View,
)
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import Ports
from angle_reco.domain import policies
from angle_reco.domain.policies import Grant
from angle_reco.events import UserInspected
from angle_reco.testing import ManualClock
from tests.application.shop import (
    INSPECT,
    MANAGE,
    NOW,
    bid,
    clock_of,
    filled,
    lot,
    lots,
    opened,
)

PERSONAL: dict[str, Callable[..., object]] = {
    "homepage": lambda view, **of: view.homepage(**of),
    "after_bid": lambda view, **of: view.after_bid("vase", **of),
    "interests": lambda view, **of: view.interests(**of),
    "sign_ins": lambda view, **of: view.sign_ins(**of),
    "get_interests": lambda view, **of: view.stored.get_interests(**of),
    "get_top_interests": lambda view, **of: view.stored.get_top_interests(**of),
    "get_recommendations": lambda view, **of: view.stored.get_recommendations(**of),
}
PUBLIC: dict[str, Callable[[View], object]] = {
    "similar_items": lambda view: view.similar_items("vase"),
    "find_similar_items": lambda view: view.stored.find_similar_items("vase"),
    "popular_items": lambda view: view.popular_items(),
    "popular_items of a category": lambda view: view.popular_items(category="art"),
}
MANAGING: dict[str, Callable[[View], object]] = {
    "stats": lambda view: view.stats(),
    "find_stale_recommendations": lambda view: view.stored.find_stale_recommendations(),
    **{f"run_job {job}": lambda view, job=job: view.run_job(job) for job in BATCH_JOBS},  # type: ignore[misc]  # a default binds it
    "run_job for an item": lambda view: view.run_job("compute_item_similarities", item_id="vase"),
}

HELD = {
    "ann": set[str](),
    "manager": {MANAGE},
    "inspect only": {INSPECT},
    "admin": {MANAGE, INSPECT},
}


@attrs.define
class Book:
    """Permissions as a host looks them up, and what it was asked."""

    held: dict[str, set[str]]
    asked: list[tuple[object, str]] = attrs.field(factory=list)

    def __call__(self, user_id: UserId, name: str) -> bool:
        self.asked.append((user_id, name))
        return name in self.held.get(str(user_id), ())


class Untouchable:
    """A port that nobody may ask anything."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        def ask(*args: object, **more: object) -> object:
            raise AssertionError(f"asked before the policy was: {name}")

        return ask


@pytest.fixture
def book() -> Book:
    """Return the permissions that some users hold."""
    return Book({user: set(held) for user, held in HELD.items()})


@pytest.fixture
def reco(book: Book) -> Recommender:
    """Return a shop of those users."""
    market = filled([lot("vase"), *lots("art", 3)], bid("bob", "vase"), users=HELD)
    return opened(market, permissions=book)


@pytest.fixture
def sealed(book: Book) -> Recommender:
    """Return a recommender that fails when anything but its permissions is used."""
    empty = opened(permissions=book).ports
    ports: dict[str, Any] = {field.name: Untouchable() for field in attrs.fields(Ports)}
    ports |= {"permissions": empty.permissions, "new_cache": empty.new_cache}
    return Recommender(Ports(**ports))


class TestPersonalResults:
    @pytest.mark.parametrize("name", PERSONAL)
    def test_their_owner_reads_them_and_no_permission_is_asked_for(
        self, reco: Recommender, book: Book, name: str
    ) -> None:
        ask = PERSONAL[name]

        assert ask(reco.as_user("bob")) == ask(reco.as_user("bob"), of="bob")
        assert book.asked == []

    @pytest.mark.parametrize("name", PERSONAL)
    def test_the_system_and_an_admin_who_may_inspect_read_them(
        self, reco: Recommender, book: Book, name: str
    ) -> None:
        ask = PERSONAL[name]
        own = ask(reco.as_user("bob"))
        assert ask(reco.system, of="bob") == own
        assert book.asked == []

        assert ask(reco.as_user("admin"), of="bob") == own
        assert book.asked == [("admin", MANAGE), ("admin", INSPECT)]

    @pytest.mark.parametrize("name", PERSONAL)
    @pytest.mark.parametrize("user", ["ann", "manager", "inspect only", "nobody"])
    def test_nobody_else_does_and_nothing_is_looked_up(
        self, sealed: Recommender, name: str, user: str
    ) -> None:
        texts = set()
        for of in ("bob", "no such user", 4711, None if user == "bob" else "\n"):
            with pytest.raises(AccessDeniedError) as caught:
                PERSONAL[name](sealed.as_user(user), of=of)
            texts.add(str(caught.value))

        # The same whether there is such a user or not, and whatever the id looks like.
        [text] = texts
        assert re.fullmatch("not allowed: read (a homepage|suggestions|interests|sign-ins).*", text)

    @pytest.mark.parametrize(
        ("name", "of"),
        # A visitor's own homepage is popular items.
        [(name, of) for name in PERSONAL for of in ("bob", None) if of or name != "homepage"],
    )
    def test_visitors_have_none_and_read_none(
        self, sealed: Recommender, book: Book, name: str, of: str | None
    ) -> None:
        with pytest.raises(AccessDeniedError):
            PERSONAL[name](sealed.anonymous, of=of)

        assert book.asked == []

    @pytest.mark.parametrize("name", PERSONAL)
    def test_the_system_has_none_of_its_own(self, sealed: Recommender, name: str) -> None:
        with pytest.raises(InvalidValueError, match="user id is None"):
            PERSONAL[name](sealed.system)

    def test_the_denial_comes_before_bad_arguments_are_told(self, sealed: Recommender) -> None:
        with pytest.raises(AccessDeniedError):
            sealed.as_user("ann").homepage(-1, of="bob")
        with pytest.raises(AccessDeniedError):
            sealed.as_user("ann").after_bid(4711, of="bob")


class TestPublicResults:
    @pytest.mark.parametrize("name", PUBLIC)
    def test_everybody_reads_them_and_no_permission_is_asked_for(
        self, reco: Recommender, book: Book, name: str
    ) -> None:
        views = [reco.anonymous, reco.system, *map(reco.as_user, ("bob", "ann", "nobody"))]

        answers = [PUBLIC[name](view) for view in views]

        # The cards tell who has bid; what is shown is the same for all.
        shown = [getattr(answer, "ids", answer) for answer in answers]
        assert shown == [shown[0]] * len(views)
        assert book.asked == []


class TestManaging:
    @pytest.mark.parametrize("name", MANAGING)
    def test_the_system_and_managers_may(self, reco: Recommender, book: Book, name: str) -> None:
        MANAGING[name](reco.system)
        assert book.asked == []

        MANAGING[name](reco.as_user("manager"))

        assert book.asked == [("manager", MANAGE)]

    @pytest.mark.parametrize("name", MANAGING)
    @pytest.mark.parametrize("user", ["ann", "inspect only", "nobody"])
    def test_no_other_user_may(self, sealed: Recommender, name: str, user: str) -> None:
        with pytest.raises(AccessDeniedError, match=r"not allowed: (run jobs|read stats)"):
            MANAGING[name](sealed.as_user(user))

    @pytest.mark.parametrize("name", MANAGING)
    def test_visitors_may_not(self, sealed: Recommender, book: Book, name: str) -> None:
        with pytest.raises(AccessDeniedError):
            MANAGING[name](sealed.anonymous)

        assert book.asked == []

    def test_a_denied_job_is_not_told_whether_it_exists(self, sealed: Recommender) -> None:
        for job in ("refresh_user_interests", "no such job"):
            with pytest.raises(AccessDeniedError, match=r"^not allowed: run jobs$"):
                sealed.as_user("ann").run_job(job)


class TestPermissions:
    def test_revoking_works_on_the_next_call(self, reco: Recommender, book: Book) -> None:
        admin = reco.as_user("admin")
        admin.homepage(of="bob")

        book.held["admin"] = {MANAGE}

        with pytest.raises(AccessDeniedError):
            admin.homepage(of="bob")
        assert admin.stats().users == 5

        book.held["admin"] = {MANAGE, INSPECT}
        admin.homepage(of="bob")

    def test_whether_one_may_inspect_is_not_asked_of_who_may_not_manage(
        self, sealed: Recommender, book: Book
    ) -> None:
        with pytest.raises(AccessDeniedError):
            sealed.as_user("inspect only").homepage(of="bob")

        assert book.asked == [("inspect only", MANAGE)]

    @pytest.mark.parametrize("error", [RuntimeError("ann-4711"), AssertionError(), KeyError("x")])
    def test_one_that_cannot_be_looked_up_is_not_held(
        self, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        def look_up(user_id: UserId, name: str) -> bool:
            raise error

        reco = opened(filled(lots("art", 2)), permissions=look_up)

        with pytest.raises(AccessDeniedError):
            reco.as_user("ann").homepage(of="bob")
        with pytest.raises(AccessDeniedError):
            reco.as_user("ann").run_job("generate_popular_items")
        assert len(reco.as_user("ann").homepage()) == 2
        assert len(caplog.records) == 2
        assert "ann" not in caplog.text.replace("ann_", "")

    @pytest.mark.parametrize("answer", [1, "yes", object(), [True], None, 0])
    def test_only_true_is_yes(self, answer: Any) -> None:
        reco = opened(permissions=lambda user_id, name: answer)

        with pytest.raises(AccessDeniedError):
            reco.as_user("ann").stats()

    def test_without_permissions_nobody_holds_one(self) -> None:
        with pytest.raises(AccessDeniedError):
            opened().as_user("admin").stats()


class TestSlowPermissions:
    def test_one_that_does_not_answer_in_time_is_not_held(self) -> None:
        asked = Event()

        def hang(user_id: UserId, name: str) -> bool:
            return asked.wait(30) or True

        settings = Settings(deadline=timedelta(milliseconds=50))
        reco = opened(settings=settings, permissions=hang)
        started = time.monotonic()

        # Jobs are patient, and so is counting; asking for a permission is neither.
        for ask in MANAGING.values():
            with pytest.raises(AccessDeniedError):
                ask(reco.as_user("ann"))

        assert time.monotonic() - started < 10
        asked.set()

    def test_a_late_answer_of_an_adapter_is_none(self) -> None:
        class Late:
            def holds(self, user_id: UserId, name: str) -> bool:
                time.sleep(0.02)
                return True

        ports = attrs.evolve(opened().ports, permissions=Late())
        reco = Recommender(ports, Settings(deadline=timedelta(milliseconds=10)))

        with pytest.raises(AccessDeniedError):
            reco.as_user("ann").stats()

    def test_the_host_is_asked_with_the_callers_context(self) -> None:
        request: ContextVar[str] = ContextVar("request")
        request.set("of ann")
        seen = []

        def ask(user_id: UserId, name: str) -> bool:
            seen.append(request.get())
            return True

        opened(permissions=ask).as_user("ann").stats()

        assert seen == ["of ann"]


class TestInspecting:
    @pytest.mark.parametrize("name", PERSONAL)
    def test_each_is_reported_before_anything_is_read(self, book: Book, name: str) -> None:
        told: list[object] = []
        market = filled([lot("vase"), *lots("art", 3)], bid("bob", "vase"), users=HELD)
        reco = Recommender(opened(market, permissions=book).ports, on_event=told.append)

        PERSONAL[name](reco.as_user("bob"))
        PERSONAL[name](reco.system, of="bob")
        PERSONAL[name](reco.as_user("admin"))
        with pytest.raises(AccessDeniedError):
            PERSONAL[name](reco.as_user("manager"), of="bob")
        assert told == []
        PERSONAL[name](reco.as_user("admin"), of="bob")

        [one] = told
        assert isinstance(one, UserInspected)
        assert (str(one.actor_id), str(one.user_id)) == ("admin", "bob")
        assert one.at == clock_of(reco).now()

    def test_who_cannot_be_reported_does_not_inspect(self, sealed: Recommender) -> None:
        def fail(happened: object) -> None:
            raise RuntimeError("no room for bob in the book")

        ports = attrs.evolve(sealed.ports, clock=ManualClock(NOW))
        reco = Recommender(ports, on_event=fail)

        with pytest.raises(AccessDeniedError, match=r"^not allowed: read a homepage$"):
            reco.as_user("admin").homepage(of="bob")

    def test_it_is_logged_without_ids(
        self, reco: Recommender, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "angle_reco")

        reco.as_user("admin").interests(of="bob")

        prints = reco.settings.fingerprints
        assert (
            f"user inspected: actor={prints.of('admin')} user={prints.of('bob')} resource=interests"
            in caplog.messages
        )


def test_an_actor_is_bound_before_anything_can_be_read() -> None:
    members = [one for of in (View, StoredView) for one in inspect.getmembers(of)]
    reading = {name for name, one in members if inspect.isfunction(one) and name[0] != "_"}

    assert not reading & set(dir(Recommender))


def test_a_view_s_actor_cannot_be_changed(reco: Recommender) -> None:
    view: Any = reco.as_user("ann")

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        view.actor = reco.system.actor


def test_an_actor_that_has_lost_its_id_owns_nothing() -> None:
    view = opened(filled(lots("art", 5))).as_user("ann")
    object.__setattr__(view.actor, "user_id", None)

    with pytest.raises(AccessDeniedError):
        view.homepage()


@pytest.mark.parametrize("name", [*PUBLIC, "homepage"])
def test_the_policy_decides_about_what_is_open_to_everyone_too(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = {
        asked: rule._replace(anonymous=Grant.NO, other=Grant.NO)
        for asked, rule in policies.POLICY.items()
    }
    shop = opened(filled([lot("vase")]))
    calls: dict[str, Callable[[View], object]] = {
        **PUBLIC,
        "homepage": lambda view: view.homepage(),
    }
    call = calls[name]
    call(shop.anonymous)
    monkeypatch.setattr(policies, "POLICY", closed)

    with pytest.raises(AccessDeniedError):
        call(shop.anonymous)
