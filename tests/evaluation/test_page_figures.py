"""The page of a small report: where each of its figures is shown, and how it is written."""

import re
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from angle_reco.evaluation.bootstrap import Interval
from angle_reco.evaluation.page import page
from angle_reco.evaluation.page_plots import longest, plots
from angle_reco.evaluation.report import (
    CategoryFigures,
    CutFigures,
    RankerFigures,
    Report,
    SurfaceFigures,
)

NAN = float("nan")
UNKNOWN = Interval(NAN, NAN, NAN)
SPACE = "\N{NO-BREAK SPACE}"


def ranker(name: str, ndcg: float, **changes: Any) -> RankerFigures:
    made = RankerFigures(
        name=name,
        metrics={
            "hit": Interval(0.5, 0.25, 0.75),
            "ndcg": Interval(ndcg, ndcg - 0.1, ndcg + 0.1),
            "recall": Interval(0.125, 0, 1),
            "mrr": Interval(0.375, 0, 1),
            "served": Interval(1, 1, 1),
            "novelty": Interval(3.25, 0, 9),
            "similarity": Interval(0.625, 0, 1),
        },
        coverage=0.0625,
        ratio=Interval(2.0, 1.5, 2.5),
        difference=UNKNOWN,
        segments={"0": UNKNOWN, "1": Interval(0.5, 0.4, 0.6), "2-5": Interval(0.25, 0.2, 0.3)},
        categories=(CategoryFigures(category="lamps", targets=1_000, recall=0.5),),
        points=({}, {}),
    )
    return attrs.evolve(made, **changes)


def report(*rankers: RankerFigures, **changes: Any) -> Report:
    surface = SurfaceFigures(
        name="homepage",
        questions=1_200,
        users=1,
        targets=3_000,
        baseline="popular",
        cuts=(CutFigures(moment="2026-06-01T12:34:56+00:00", open_items=1, questions=1_200),),
        segment_sizes={"0": 0, "1": 1_000, "2-5": 200},
        rankers=rankers or (ranker("popular", 0.2), ranker("classic", 0.4)),
    )
    return Report(
        source="shop", window_days=30, surfaces=(attrs.evolve(surface, **changes),), remarks=()
    )


def rows_of(text: str) -> list[list[str]]:
    """Return the texts of the cells of each row of a table."""
    return [
        [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", text)
    ]


def test_a_row_has_every_figure_of_a_ranking() -> None:
    rows = rows_of(page(report()))

    usual = [f"12.5{SPACE}%", "0.38", f"100.0{SPACE}%", "3.2", "0.62", f"6.2{SPACE}%"]
    hits = f"50.0{SPACE}%"
    assert ["homepage", "1,200", "classic", hits, hits] in rows
    assert ["popular", "1", hits, "0.2000", *usual] in rows
    assert ["classic", "2.00 [1.50, 2.50]", hits, "0.4000", *usual] in rows


def test_amounts_are_counted_in_words() -> None:
    text = page(report())

    assert "<p>1,200 questions of 1 user; 3,000 right items.</p>" in text
    assert "<summary>Cuts: 1</summary>" in text
    assert "<li>2026-06-01 12:34 UTC: 1 open item, 1,200 questions</li>" in text
    assert '1 item touched before <span class="note">1,000 questions</span>' in text
    assert '2–5 items touched before <span class="note">200 questions</span>' in text
    assert "0 items touched before" not in text
    assert "within 30 days after" in text


@pytest.mark.parametrize(
    ("ratio", "ends"),
    [
        (Interval(2.0, 1.01, 2.5), "2.00 × the baseline's [1.01, 2.50], which is more than chance"),
        (Interval(2.0, 1.0, 2.5), "2.00 × the baseline's [1.00, 2.50], which chance may explain"),
        (UNKNOWN, "The NDCG@10 of the baseline is 0, so there is no ratio to it."),
    ],
)
def test_the_best_ranking_is_compared_with_the_baseline(ratio: Interval, ends: str) -> None:
    text = page(report(ranker("popular", 0.2), ranker("classic", 0.4, ratio=ratio)))

    assert f"<b>classic</b> ranks best: for 50.0{SPACE}% of the questions" in text
    assert ends in text


@pytest.mark.parametrize("ndcg", [0.1, 0.2, NAN])
def test_the_baseline_is_best_among_equals(ndcg: float) -> None:
    text = page(report(ranker("classic", ndcg), ranker("popular", 0.2)))

    assert "<b>popular</b> ranks best" in text
    assert "No other ranking beats this baseline." in text


def categories(number: int, **recalls: float) -> tuple[CategoryFigures, ...]:
    return tuple(
        CategoryFigures(category=f"c{n}", targets=9_000 - n, recall=recalls.get(f"c{n}", 0.0))
        for n in range(number)
    )


@pytest.mark.parametrize(
    ("number", "listed", "rest"), [(1, 0, 0), (2, 2, 0), (12, 12, 0), (14, 12, 2)]
)
def test_the_first_categories_are_listed(number: int, listed: int, rest: int) -> None:
    some = categories(number)
    text = page(report(*(ranker(one, 0.2, categories=some) for one in ("popular", "classic"))))

    rows = [row for row in rows_of(text) if re.fullmatch("c[0-9]+", row[0])]
    assert rows == [[f"c{n}", f"{9_000 - n:,}", *[f"0.0{SPACE}%"] * 2] for n in range(listed)]
    assert re.findall("([0-9]+) more in the JSON output", text) == [str(rest)] * bool(rest)
    assert ("By category" in text) is bool(listed)


def test_the_strongest_colour_is_the_largest_part_of_a_category_that_is_listed() -> None:
    ours, theirs = categories(13, c0=0.2, c1=0.1, c12=0.9), categories(13, c0=0.4)
    text = page(
        report(ranker("popular", 0.2, categories=ours), ranker("classic", 0.4, categories=theirs))
    )

    shares = re.findall('class="heat" style="--share:([0-9]+)%"', text)
    assert shares[:4] == ["50", "100", "25", "0"]
    assert set(shares[4:]) == {"0"}


def test_numbers_that_were_chosen_are_listed_where_there_are_some() -> None:
    chosen: tuple[Mapping[str, float], ...] = (
        {"half_life": 1.0},
        {"half_life": 7.5, "of_users": 0.5},
        {},
    )
    text = page(report(ranker("popular", 0.2), ranker("recent", 0.1, points=chosen)))

    assert "<ul><li>recent: half-life 1 day; half-life 7.5 days, of users 0.5; </li></ul>" in text
    assert "Numbers chosen" not in page(report())


def test_figures_of_all_groups_have_one_scale() -> None:
    high = {"0": Interval(9, 9, 9), "1": Interval(0.5, 0.4, 0.6), "2-5": Interval(1.0, NAN, NAN)}
    text = page(report(ranker("popular", 0.2, segments=high)))

    [of_ndcg, few, some] = re.findall('<rect class="bar"[^>]* width="([^"]*)"/>', text)
    assert (of_ndcg, few, some) == ("63.49%", "47.62%", "95.24%")


class TestPlots:
    def drawn(self, figures: Mapping[str, Interval], base: float, most: float) -> list[str]:
        """Return the shapes of each row, with where they are."""
        rows = plots(figures, base, most=most).split('<div class="plot">')[1:]
        return [
            " ".join(
                f"{name}:{at}"
                for name, at in re.findall(
                    r'class="(bar|base|interval)" [^/]*?((?:x1|width)="[^/]*%")/>', row
                )
            )
            for row in rows
        ]

    def test_a_bar_an_interval_and_the_baseline(self) -> None:
        [row] = self.drawn({"a": Interval(0.5, 0.25, 0.75)}, 0.4, 2.0)

        assert row.split(" ")[0] == 'bar:width="25.00%"'
        assert 'base:x1="20.00%" x2="20.00%"' in row
        assert 'interval:x1="12.50%" x2="37.50%"' in row

    def test_what_is_not_known_is_not_drawn(self) -> None:
        figures = {"a": Interval(0.5, NAN, NAN), "b": UNKNOWN}

        assert self.drawn(figures, NAN, 1.0) == ['bar:width="50.00%"']
        assert "a: 0.5000, from – to –" in plots(figures, NAN, most=1.0)

    def test_where_nothing_was_hit_all_is_at_the_left(self) -> None:
        assert longest([Interval(0, 0, 0)]) == 0
        assert self.drawn({"a": Interval(0, 0, 0)}, 0, 0)[0].startswith('bar:width="0.00%"')

    def test_the_width_fits_every_interval(self) -> None:
        some = [Interval(0.5, 0.4, 0.6), Interval(0.8, NAN, NAN), UNKNOWN]

        assert longest(some) == pytest.approx(0.84)
        assert longest(some[:1]) == pytest.approx(0.63)
        assert longest([]) == 0
