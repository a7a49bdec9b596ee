"""The report as one page of HTML: inline plots, no scripts, nothing from elsewhere."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from angle_reco.evaluation.page_plots import figure, known, longest, plots
from angle_reco.evaluation.page_style import STYLE
from angle_reco.evaluation.page_words import METRICS, RANKINGS, WORDS
from angle_reco.evaluation.report import RankerFigures, Report, SurfaceFigures

_MOST_CATEGORIES = 12

_ASKED = {
    "homepage": "Which items does a user bid on or watch for the first time within {window}"
    " after a cut? Asked of users with a bid or watch before it, over all items open at the cut.",
    "order": "Each user's last 20 % of items, with the rest of all users known. For data whose"
    " times mean little: rankings may learn from later touches here.",
    "similar items": "A user touches an item. Which one next, within seven days? The list of the"
    " touched item's page answers.",
    "after a bid": "A user bids on an item. Which one next, within seven days? The list shown"
    " after the bid answers.",
}

_SHARES = frozenset({"hit", "recall", "served"})


def page(report: Report) -> str:
    """Return the page, which stands alone as one file."""
    title = f"What rankings would have hit: {report.source}"
    remarks = "".join(f"<li>{escape(one)}</li>" for one in report.remarks)
    window = _counted(f"{report.window_days:g}", "day")
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
            f"<h1>{escape(title)}</h1>",
            "<p>At several moments of the past, the cuts, each ranking saw only what was known"
            " then. It is compared with what users bid on or watched next.</p>",
            _words(report.surfaces),
            f'<ul class="remarks">{remarks}</ul>' if remarks else "",
            _overview(report.surfaces),
            *(_surface(one, window) for one in report.surfaces),
            _limits(),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _overview(surfaces: Sequence[SurfaceFigures]) -> str:
    rows = []
    for surface in surfaces:
        best, base = _best(surface), _baseline(surface)
        rows.append(
            f'<tr><th scope="row">{escape(surface.name)}</th>'
            f"<td>{surface.questions:,}</td><td>{escape(best.name)}</td>"
            f"<td>{_percent(best.metrics['hit'].value)}</td>"
            f"<td>{_percent(base.metrics['hit'].value)}</td></tr>"
        )
    return _scrolling(
        '<table class="overview"><thead><tr><th scope="col">surface</th>'
        '<th scope="col">questions</th><th scope="col">best ranking</th>'
        '<th scope="col">hit in ten</th><th scope="col">baseline</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _best(surface: SurfaceFigures) -> RankerFigures:
    """Return the ranking with the largest NDCG@10, the baseline if it is among equals."""
    return max(
        surface.rankers,
        key=lambda one: (known(one.metrics["ndcg"].value), one.name == surface.baseline),
    )


def _baseline(surface: SurfaceFigures) -> RankerFigures:
    [base] = [one for one in surface.rankers if one.name == surface.baseline]
    return base


def _surface(surface: SurfaceFigures, window: str) -> str:
    best, base = _best(surface), _baseline(surface)
    cuts = "".join(
        f"<li>{escape(one.moment[:16].replace('T', ' '))} UTC:"
        f" {_counted(one.open_items, 'open item')}, {_counted(one.questions, 'question')}</li>"
        for one in surface.cuts
    )
    return "\n".join(
        [
            f"<section><h2>{escape(surface.name.capitalize())}</h2>",
            f"<p>{escape(_ASKED[surface.name].format(window=window))}</p>",
            f'<p class="finding">{_finding(best, base)}</p>',
            f"<p>{_counted(surface.questions, 'question')} of {_counted(surface.users, 'user')};"
            f" {_counted(surface.targets, 'right item')}.</p>",
            f"<details><summary>Cuts: {len(surface.cuts)}</summary><ul>{cuts}</ul></details>",
            "<h3>How good each ranking is</h3>",
            '<p class="note">The bar and the figure are the NDCG@10: how many of the first ten'
            " items were right, the early ones counting more. 1 is perfect. The thin line shows"
            " how far the figure may be off by chance (its 95 % interval). The dashed line is the"
            f" baseline, {escape(surface.baseline)}.</p>",
            plots(
                {one.name: one.metrics["ndcg"] for one in surface.rankers},
                base.metrics["ndcg"].value,
                most=longest(one.metrics["ndcg"] for one in surface.rankers),
            ),
            _table(surface),
            _segments(surface),
            _categories(surface),
            _tuned(surface.rankers),
            "</section>",
        ]
    )


def _finding(best: RankerFigures, base: RankerFigures) -> str:
    """Return one sentence that a reader without the metrics understands."""
    said = (
        f"<b>{escape(best.name)}</b> ranks best: for {_percent(best.metrics['hit'].value)} of the"
        " questions, at least one of its first ten items was right"
    )
    if best.name == base.name:
        return f"{said}. No other ranking beats this baseline."
    ratio = best.ratio
    hit = _percent(base.metrics["hit"].value)
    said = f"{said}; of the baseline, {escape(base.name)}, for {hit}"
    if math.isnan(ratio.value):
        return f"{said}. The NDCG@10 of the baseline is 0, so there is no ratio to it."
    certain = (
        "which is more than chance explains"
        if ratio.low > 1
        else "which chance may explain: the interval includes 1"
    )
    return (
        f"{said}. Its NDCG@10 is {figure(ratio.value, 2)} × the baseline's"
        f" [{figure(ratio.low, 2)}, {figure(ratio.high, 2)}], {certain}."
    )


def _table(surface: SurfaceFigures) -> str:
    heads = "".join(
        f'<th scope="col" title="{escape(meaning)}">{escape(short)}</th>'
        for short, meaning in METRICS.values()
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(one.name)}</th>'
        + "".join(f"<td>{_cell(column, one, surface.baseline)}</td>" for column in METRICS)
        + "</tr>"
        for one in surface.rankers
    )
    return _scrolling(
        f'<table><thead><tr><th scope="col">ranking</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _segments(surface: SurfaceFigures) -> str:
    base = _baseline(surface)
    sizes = {label: size for label, size in surface.segment_sizes.items() if size}
    # One scale for all groups, so that their bars can be compared.
    most = longest(one.segments[label] for one in surface.rankers for label in sizes)
    groups = "".join(
        f"<h4>{escape(label.replace('-', '–'))} {'item' if label == '1' else 'items'} touched"
        f' before <span class="note">{_counted(size, "question")}</span></h4>'
        + plots(
            {one.name: one.segments[label] for one in surface.rankers},
            base.segments[label].value,
            most=most,
        )
        for label, size in sizes.items()
    )
    return (
        "<h3>By how much is known of a user</h3>"
        '<p class="note">The same figure for users who had bid on or watched few or many items'
        f" before. The groups have one scale.</p>{groups}"
    )


def _categories(surface: SurfaceFigures) -> str:
    every = surface.rankers[0].categories
    listed = every[:_MOST_CATEGORIES]
    if len(listed) < 2:
        return ""
    recalls = [
        {one.category: one.recall for one in ranker.categories} for ranker in surface.rankers
    ]
    most = max(max(recall[one.category] for recall in recalls) for one in listed) or 1.0
    heads = "".join(f'<th scope="col">{escape(one.name)}</th>' for one in surface.rankers)
    rows = "".join(
        f'<tr><th scope="row">{_category(one.category)}</th><td>{one.targets:,}</td>'
        + "".join(
            f'<td class="heat" style="--share:{100 * recall[one.category] / most:.0f}%">'
            f"{_percent(recall[one.category])}</td>"
            for recall in recalls
        )
        + "</tr>"
        for one in listed
    )
    more = len(every) - len(listed)
    rest = f'<p class="note">{more} more in the JSON output.</p>' if more else ""
    table = (
        '<table><thead><tr><th scope="col">category</th><th scope="col">right items</th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )
    return (
        "<h3>By category</h3>"
        '<p class="note">The part of the right items of a category that was among the ten;'
        " the strongest colour is the largest part.</p>"
        f"{_scrolling(table)}{rest}"
    )


def _category(name: str | None) -> str:
    return "<i>none</i>" if name is None else escape(name)


def _tuned(rankers: Sequence[RankerFigures]) -> str:
    tuned = [one for one in rankers if any(one.points)]
    if not tuned:
        return ""
    lines = "".join(
        f"<li>{escape(one.name)}: {escape('; '.join(_point(point) for point in one.points))}</li>"
        for one in tuned
    )
    return (
        "<details><summary>Numbers chosen at each cut</summary><p>By the cuts before it;"
        f" at the first cut, the customary ones.</p><ul>{lines}</ul></details>"
    )


def _point(point: Mapping[str, float]) -> str:
    return ", ".join(
        "half-life " + _counted(f"{value:g}", "day")
        if name == "half_life"
        else f"{name.replace('_', ' ')} {value:g}"
        for name, value in point.items()
    )


def _words(surfaces: Sequence[SurfaceFigures]) -> str:
    """Return what the words, rankings and columns of the page mean, folded."""
    names = dict.fromkeys(one.name for surface in surfaces for one in surface.rankers)
    rankings = {name: RANKINGS.get(name, "a ranker of the settings") for name in names}
    columns = dict(METRICS.values())
    lists = "".join(
        f"<h3>{heading}</h3><dl>"
        + "".join(f"<dt>{escape(one)}</dt><dd>{escape(text)}</dd>" for one, text in meanings)
        + "</dl>"
        for heading, meanings in (
            ("Words", WORDS.items()),
            ("Rankings", rankings.items()),
            ("Columns", columns.items()),
        )
    )
    return f"<details><summary>What the words mean</summary>{lists}</details>"


def _limits() -> str:
    return (
        "<section><h2>What this cannot say</h2>"
        "<p>The figures compare rankings; they do not predict sales. A user can only touch what"
        " the site showed in the past, so rankings like the past one have an advantage.</p>"
        "</section>"
    )


def _scrolling(table: str) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-label="table">{table}</div>'


def _cell(column: str, one: RankerFigures, baseline: str) -> str:
    if column == "ratio":
        return _compared(one, baseline)
    if column == "coverage":
        return _percent(one.coverage)
    return _shown(column, one.metrics[column].value)


def _compared(one: RankerFigures, baseline: str) -> str:
    if one.name == baseline:
        return "1"
    ratio = one.ratio
    return f"{figure(ratio.value, 2)} [{figure(ratio.low, 2)}, {figure(ratio.high, 2)}]"


def _shown(metric: str, value: float) -> str:
    if metric in _SHARES:
        return _percent(value)
    return figure(value, 1 if metric == "novelty" else 4 if metric == "ndcg" else 2)


def _counted(number: int | str, what: str) -> str:
    text = number if isinstance(number, str) else f"{number:,}"
    return f"{text} {what}{'' if text == '1' else 's'}"


def _percent(value: float) -> str:
    # A no-break space: a narrow table wraps between words only.
    return "–" if math.isnan(value) else f"{100 * value:.1f}\N{NO-BREAK SPACE}%"
