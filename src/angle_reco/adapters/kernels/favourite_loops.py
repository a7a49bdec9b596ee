"""The loop for homepages of favourite categories; without numba it is slow, but the same.

Only a job that compiles imports this module, as it imports numba.
"""

from angle_reco.adapters.kernels.favourite_arguments import Found, Items, People, Rule, Space
from angle_reco.adapters.kernels.loops import jitable
from angle_reco.domain.millionths import ONE

_NO_LIMIT = 2**31


@jitable
def _weighted(value: int, weight: int) -> int:
    """Return what `weighted` does."""
    return (2 * weight * value + ONE) // (2 * ONE)


@jitable
def _add(items: Items, rule: Rule, user: int, row: int, interest: int, found: Found) -> None:
    """Add a line to the page of a user, who has this interest in its category."""
    line = found.lengths[user]
    found.rows[user, line] = row
    for k in range(len(rule.of_interest)):
        part = items.parts[row, k] + _weighted(interest, rule.of_interest[k])
        found.parts[user, line, k] = part
    found.reasons[user, line] = items.reasons[int(interest > rule.favourite_above), row]
    found.lengths[user] = line + 1


@jitable
def _groups_of(items: Items, people: People, rule: Rule, user: int, space: Space) -> int:
    """Prepare the favourite categories of a user, and note all interests; return how many."""
    groups = 0
    for k in range(people.offsets[user], people.offsets[user + 1]):
        category = people.categories[k]
        if category < 0:
            continue
        space.interest[category] = people.scores[k]
        is_favourite = k - people.offsets[user] < rule.favourites
        if is_favourite and items.starts[category] < items.starts[category + 1]:
            space.next[groups] = items.starts[category]
            space.end[groups] = items.starts[category + 1]
            space.group_interest[groups] = people.scores[k]
            bonus = 0
            for weight in rule.of_interest:
                bonus += _weighted(people.scores[k], weight)
            space.bonus[groups] = bonus
            groups += 1
    return groups


@jitable
def _merge(
    items: Items, rule: Rule, user: int, groups: int, most: int, space: Space, found: Found
) -> None:
    """Add the next rows of the groups by score, at most so many of each group."""
    for group in range(groups):
        space.left[group] = most
    while found.lengths[user] < found.rows.shape[1]:
        best, best_score, best_rank = -1, -1, -1
        for group in range(groups):
            if space.left[group] == 0:
                continue
            place = space.next[group]
            while place < space.end[group] and space.taken[items.rows[place]] == user + 1:
                place += 1
            space.next[group] = place
            if place == space.end[group]:
                space.left[group] = 0
                continue
            row = items.rows[place]
            score = items.worth[row] + space.bonus[group]
            rank = items.tie_rank[row]
            if score > best_score or (score == best_score and rank < best_rank):
                best, best_score, best_rank = group, score, rank
        if best < 0:
            return
        row = items.rows[space.next[best]]
        space.next[best] += 1
        space.left[best] -= 1
        space.taken[row] = user + 1
        _add(items, rule, user, row, space.group_interest[best], found)


def rank_favourites(
    items: Items, people: People, rule: Rule, first: int, last: int, space: Space, found: Found
) -> None:
    """Fill in the pages of the users at places [first, last)."""
    for user in range(first, last):
        for k in range(people.excluded_offsets[user], people.excluded_offsets[user + 1]):
            space.taken[people.excluded[k]] = user + 1
        groups = _groups_of(items, people, rule, user, space)
        _merge(items, rule, user, groups, rule.per_category, space, found)
        _merge(items, rule, user, groups, _NO_LIMIT, space, found)
        found.personal[user] = found.lengths[user]
        for row in items.popular:
            if found.lengths[user] == found.rows.shape[1]:
                break
            if space.taken[row] != user + 1:
                category = items.category[row]
                interest = 0 if category < 0 else space.interest[category]
                _add(items, rule, user, row, interest, found)
        for k in range(people.offsets[user], people.offsets[user + 1]):
            if people.categories[k] >= 0:
                space.interest[people.categories[k]] = 0
