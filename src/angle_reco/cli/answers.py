"""The commands of `angle-reco` that show what an application would: shelves and interests."""

from typing import Any

import rich_click as click

from angle_reco import Recommender, Shelf
from angle_reco.cli.options import (
    Command,
    Target,
    after_option,
    limit_option,
    on_database,
    parsed_id,
)
from angle_reco.cli.output import console, interests_table, print_json, remark, shelf_text
from angle_reco.domain.pages import MOST_SIMILAR, checked_limit
from angle_reco.domain.paging import MOST


@click.command(cls=Command)
@click.argument("user")
@limit_option(20, MOST)
@after_option
@on_database(reads=True)
def homepage(target: Target, user: str, limit: int, after: str | None) -> None:
    """Show the homepage of USER: "Recommended for you"."""
    checked_limit(limit)
    with target.recommender() as recommender:
        user_id = _known_user(recommender, user)
        shelf = recommender.system.homepage(limit, after=after, of=user_id)
        _print_shelf(target, shelf, limit, MOST)


@click.command(cls=Command)
@click.argument("item")
@limit_option(8, MOST_SIMILAR)
@on_database(reads=True)
def similar(target: Target, item: str, limit: int) -> None:
    """Show the items similar to ITEM."""
    with target.recommender() as recommender:
        item_id = parsed_id(recommender.settings.ids.item, item, "item id")
        shelf = recommender.system.similar_items(item_id, limit)
        _print_shelf(target, shelf, limit, MOST_SIMILAR)


@click.command("after-bid", cls=Command)
@click.argument("user")
@click.argument("item")
@click.option("--assume-bid", is_flag=True, help="Count a bid on ITEM right now; it is not stored.")
@limit_option(8, MOST)
@on_database(reads=True)
def after_bid(target: Target, user: str, item: str, assume_bid: bool, limit: int) -> None:
    """Show what USER might also like after a bid on ITEM."""
    checked_limit(limit)
    with target.recommender() as recommender:
        item_id = parsed_id(recommender.settings.ids.item, item, "item id")
        user_id = _known_user(recommender, user)
        shelf = recommender.system.after_bid(item_id, limit, of=user_id, assume_bid=assume_bid)
        _print_shelf(target, shelf, limit, MOST)


@click.command(cls=Command)
@click.option("--category", metavar="ID", help="Of this category alone.")
@limit_option(20, MOST)
@after_option
@on_database(reads=True)
def popular(target: Target, category: str | None, limit: int, after: str | None) -> None:
    """Show the most popular items."""
    with target.recommender() as recommender:
        kind = recommender.settings.ids.category
        category_id = None if category is None else parsed_id(kind, category, "category id")
        shelf = recommender.system.popular_items(limit, category=category_id, after=after)
        _print_shelf(target, shelf, limit, MOST)


@click.command(cls=Command)
@click.argument("user")
@limit_option(None, MOST)
@on_database(reads=True)
def interests(target: Target, user: str, limit: int | None) -> None:
    """Show the interests of USER, by category."""
    with target.recommender() as recommender:
        found = recommender.system.interests(limit, of=_known_user(recommender, user))
    _remark_limit(limit, MOST)
    if target.as_json:
        print_json({"interests": [one.to_json() for one in found]})
    elif found:
        console().print(interests_table(found))
    else:
        console().print("no interests: nothing with a category bid on or watched lately")


def _known_user(recommender: Recommender, user: str) -> Any:
    """Return a user's id; remark if the user is unknown or has neither bids nor watches."""
    user_id = parsed_id(recommender.settings.ids.user, user, "user id")
    ports, until = recommender.ports, recommender.as_of
    if not ports.activity.touched_by(user_id, until=until):
        is_known = ports.users.sign_ins(user_id, until=until) is not None
        said = "is known, but" if is_known else "is unknown:"
        remark(f"user {user!r} {said} there is no bid and no watch of theirs")
    return user_id


def _print_shelf(target: Target, shelf: Shelf, limit: int, most: int) -> None:
    _remark_limit(limit, most)
    if target.as_json:
        print_json(shelf.to_json())
    elif len(shelf):
        console().print(shelf_text(shelf))
    else:
        console().print("nothing to suggest: there is no such open item")


def _remark_limit(limit: int | None, most: int) -> None:
    if limit is not None and limit > most:
        remark(f"--limit {limit} counts as {most:,}, the most there is")
