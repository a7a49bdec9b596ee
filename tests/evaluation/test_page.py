"""The page: one file that stands alone, with every name escaped."""

import math
from html.parser import HTMLParser

import attrs
import pytest

from angle_reco.domain.ids import CategoryId, ItemId
from angle_reco.domain.items import Item
from angle_reco.evaluation.bootstrap import Interval
from angle_reco.evaluation.cuts import CutRule
from angle_reco.evaluation.evaluate import Plan, evaluate
from angle_reco.evaluation.metrics import SHOWN
from angle_reco.evaluation.page import page
from angle_reco.evaluation.report import SEGMENTS, Report
from tests.evaluation.markets import DAYS, bid, day, evidence_of, market_of

_VOID = {"meta", "line", "rect", "circle"}


class _Checked(HTMLParser):
    """Checks that elements are nested, and collects what a test looks at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def report() -> Report:
    names = ["<script>alert(1)</script>", '" onload="x', "plain", "more"]
    items = [Item(item_id=ItemId(f"i{n}"), category_id=CategoryId(names[n % 4])) for n in range(8)]
    happened = [
        *(bid(f"u{n}", f"i{(n + k) % 8}", 1 + k) for n in range(6) for k in range(n + 1)),
        *(bid(f"u{n}", f"i{(n + k) % 8}", 11 + k) for n in range(6) for k in (6, 7)),
    ]
    plan = Plan(rule=CutRule(moments=(day(9), day(10))), order=True)
    evidence = evidence_of(market_of(happened, items))
    return evaluate(evidence, plan, until=day(DAYS), source="a <b>shop</b>")


def test_it_is_well_formed_and_escapes_every_name(report: Report) -> None:
    found = _Checked(page(report))

    assert found.open == []
    assert "<script>alert(1)</script>" in found.text
    assert "a <b>shop</b>" in found.text
    tags = {tag for tag, _ in found.tags}
    assert not tags & {"script", "img", "link", "iframe", "object"}
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)


def test_it_loads_nothing_from_elsewhere(report: Report) -> None:
    text = page(report)

    assert not any(one in text for one in ("http:", "https:", "src=", "href=", "url(", "@import"))
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_it_shows_each_ranking_of_each_surface_and_segment(report: Report) -> None:
    found = _Checked(page(report))
    labels = [attributes["aria-label"] for tag, attributes in found.tags if tag == "svg"]

    for surface in report.surfaces:
        sizes = sum(1 for size in surface.segment_sizes.values() if size)
        for one in surface.rankers:
            figure = one.metrics["ndcg"]
            expected = f"{one.name}: {figure.value:.4f}, from {figure.low:.4f} to {figure.high:.4f}"
            assert expected in labels
        assert surface.name.capitalize() in found.text
        assert sizes >= 1
    plots = sum(
        len(surface.rankers) * (1 + sum(1 for size in surface.segment_sizes.values() if size))
        for surface in report.surfaces
    )
    assert len(labels) == plots


def test_the_overview_has_a_row_for_each_surface(report: Report) -> None:
    _, _, rest = page(report).partition('<table class="overview">')
    overview, _, _ = rest.partition("</table>")

    for surface in report.surfaces:
        [base] = [one for one in surface.rankers if one.name == surface.baseline]
        [row] = [one for one in overview.split("<tr>") if f">{surface.name}</th>" in one]
        assert f"<td>{surface.questions:,}</td>" in row
        hits = f"{100 * base.metrics['hit'].value:.1f}\N{NO-BREAK SPACE}%"
        assert f"<td>{hits}</td></tr>" in row


def test_segments_are_named_after_their_bounds_and_leave_no_number_out() -> None:
    names = [
        f"{least}" if least == most else f"{least}+" if most > 10**6 else f"{least}-{most}"
        for least, most in SEGMENTS.values()
    ]

    assert names == list(SEGMENTS)
    assert [0, *(most + 1 for _, most in SEGMENTS.values())][:-1] == [
        least for least, _ in SEGMENTS.values()
    ]


def test_a_report_counts_what_it_says(report: Report) -> None:
    for surface in report.surfaces:
        assert list(surface.segment_sizes) == list(SEGMENTS)
        assert sum(surface.segment_sizes.values()) == surface.questions
        assert sum(one.questions for one in surface.cuts) == surface.questions
        [base] = [one for one in surface.rankers if one.name == surface.baseline]
        if base.metrics["ndcg"].value:
            assert (base.ratio.value, base.ratio.low, base.ratio.high) == pytest.approx((1, 1, 1))
        for one in surface.rankers:
            assert sum(category.targets for category in one.categories) == surface.targets
            # The mean over all questions is that of the segments, by their sizes.
            parts = [
                one.segments[label].value * size
                for label, size in surface.segment_sizes.items()
                if size
            ]
            ndcg = one.metrics["ndcg"]
            assert sum(parts) / surface.questions == pytest.approx(ndcg.value)
            assert ndcg.low <= ndcg.value <= ndcg.high
            assert not math.isnan(one.coverage)


def test_it_says_what_each_ranking_and_column_means(report: Report) -> None:
    found = _Checked(page(report))
    terms = [
        found.text.count(one)
        for one in (
            "most bids and watches so far",
            "the NDCG@10 divided by that of the baseline",
            "the part of the open items that was shown",
            "within 30 days after a cut",
        )
    ]

    assert 0 not in terms


def test_a_report_says_why_its_figures_say_little(report: Report) -> None:
    # Eight items are open, and six users are asked.
    assert (
        f"homepage: at 2 of 2 cuts at most {SHOWN} items were open, and any ranking shows"
        in (report.remarks[0])
    )
    assert "homepage: with 6 users, a difference may be chance" in report.remarks[1]
    assert all(one in _Checked(page(report)).text for one in report.remarks)


def test_a_figure_that_is_not_known_is_a_dash(report: Report) -> None:
    unknown = attrs.evolve(
        report.surfaces[0].rankers[0],
        metrics={
            **report.surfaces[0].rankers[0].metrics,
            "similarity": Interval(math.nan, math.nan, math.nan),
        },
    )
    surface = attrs.evolve(report.surfaces[0], rankers=(unknown, *report.surfaces[0].rankers[1:]))

    text = page(attrs.evolve(report, surfaces=(surface,)))

    assert "nan" not in text
    assert "<td>–</td>" in text


@pytest.fixture(scope="module")
def without_a_hit() -> Report:
    """Return a report in which the baseline hits nothing: what ends soonest is asked for."""
    happened = [
        *(bid(f"p{k}", f"d{n:02}", 1 + k / 10) for n in range(12) for k in range(3)),
        *(bid(f"u{n}", "d00", 2) for n in range(4)),
        *(bid(f"u{n}", "z", 10.5 + n) for n in range(4)),
    ]
    items = [Item(item_id=ItemId("z"), ends_at=day(20))]
    plan = Plan(rule=CutRule(moments=(day(10),)))
    return evaluate(evidence_of(market_of(happened, items)), plan, until=day(DAYS), source="x")


def test_items_without_a_category_are_not_in_one_of_that_name() -> None:
    names = [CategoryId("None"), CategoryId("(none)"), CategoryId("none"), None]
    happened = [bid(f"u{k}", "past", 1) for k in range(2)]
    happened += [bid(f"u{k}", f"i{n}", 11) for n in range(4) for k in range(2)]
    items = [Item(item_id=ItemId(f"i{n}"), category_id=name) for n, name in enumerate(names)]
    plan = Plan(rule=CutRule(moments=(day(10),)))

    found = evaluate(evidence_of(market_of(happened, items)), plan, until=day(DAYS), source="x")

    figures = found.surfaces[0].rankers[0].categories
    assert [one.category for one in figures] == [None, "(none)", "None", "none"]
    assert '<th scope="row"><i>none</i></th>' in page(found)


def test_it_gives_no_ratio_to_a_baseline_without_a_hit(without_a_hit: Report) -> None:
    text = _Checked(page(without_a_hit)).text

    assert "ending soonest ranks best" in text
    assert "The NDCG@10 of the baseline is 0, so there is no ratio to it." in text
    assert "which chance may explain" not in text
