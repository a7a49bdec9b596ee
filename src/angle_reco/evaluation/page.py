"""The report as one page of HTML: inline plots, no scripts, nothing from elsewhere."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from angle_reco.evaluation.bootstrap import Interval
from angle_reco.evaluation.page_style import STYLE
from angle_reco.evaluation.report import RankerFigures, Report, SurfaceFigures

_MOST_CATEGORIES = 12

_ASKED = {
    "homepage": "Which items does a user bid on or watch for the first time in the days after"
    " a cut? Asked of everyone with a past, over all items open at the cut.",
    "order": "Each user's last 20 % of items, with the rest of all users known. For data whose"
    " times mean little: rankings may learn from later touches here.",
    "similar items": "A user touches an item. Which one next, within seven days? The list of the"
    " touched item's page answers.",
    "after a bid": "A user bids on an item. Which one next, within seven days? The list shown"
    " after the bid answers.",
}

_METRICS = {
    "hit": ("hit in ten", "users with at least one right item among ten"),
    "ndcg": ("NDCG@10", "right items in ten places, early ones counting more; 1 is perfect"),
    "recall": ("recall", "the part of all right items that was among the ten"),
    "mrr": ("MRR", "1 divided by the place of the first right item, on average"),
    "served": ("served", "users who were shown anything"),
    "novelty": ("novelty", "bits: how little known the shown items are"),
    "similarity": ("alike", "how similar the items of a page are, by category and price"),
}
_SHARES = frozenset({"hit", "recall", "served"})


def page(report: Report) -> str:
    """Return the page, which stands alone as one file."""
    title = f"What rankings would have hit: {report.source}"
    remarks = "".join(f"<li>{escape(one)}</li>" for one in report.remarks)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
            f"<h1>{escape(title)}</h1>",
            "<p>At several moments of the past, each ranking saw only what was known then."
            " It is compared with what users bid on or watched next.</p>",
            f'<ul class="remarks">{remarks}</ul>' if remarks else "",
            _overview(report.surfaces),
            *(_surface(one) for one in report.surfaces),
            _how_to_read(),
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
        '<table><thead><tr><th scope="col">surface</th><th scope="col">questions</th>'
        '<th scope="col">best ranking</th><th scope="col">hit in ten</th>'
        f'<th scope="col">baseline</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _best(surface: SurfaceFigures) -> RankerFigures:
    """Return the ranking with the largest NDCG@10, the baseline if it is among equals."""
    return max(
        surface.rankers,
        key=lambda one: (_known(one.metrics["ndcg"].value), one.name == surface.baseline),
    )


def _baseline(surface: SurfaceFigures) -> RankerFigures:
    [base] = [one for one in surface.rankers if one.name == surface.baseline]
    return base


def _surface(surface: SurfaceFigures) -> str:
    best, base = _best(surface), _baseline(surface)
    cuts = "".join(
        f"<li>{escape(one.moment[:16].replace('T', ' '))}: {one.open_items:,} open items,"
        f" {one.questions:,} questions</li>"
        for one in surface.cuts
    )
    return "\n".join(
        [
            f"<section><h2>{escape(surface.name.capitalize())}</h2>",
            f"<p>{escape(_ASKED[surface.name])}</p>",
            f'<p class="finding">{_finding(best, base)}</p>',
            f"<p>{surface.questions:,} questions of {surface.users:,} users;"
            f" {surface.targets:,} right answers.</p>",
            f"<details><summary>Cuts: {len(surface.cuts)}</summary><ul>{cuts}</ul></details>",
            "<h3>How good each ranking is</h3>",
            '<p class="note">NDCG@10 with its 95 % interval; the dashed line is the'
            f" baseline, {escape(surface.baseline)}.</p>",
            _plots(
                {one.name: one.metrics["ndcg"] for one in surface.rankers},
                base.metrics["ndcg"].value,
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
    certain = (
        "which is more than chance explains"
        if ratio.low > 1
        else "which chance may explain: the interval includes 1"
    )
    return (
        f"{said}; of the baseline, {escape(base.name)}, for {_percent(base.metrics['hit'].value)}."
        f" Its NDCG@10 is {_figure(ratio.value, 2)} × the baseline's"
        f" [{_figure(ratio.low, 2)}, {_figure(ratio.high, 2)}], {certain}."
    )


def _plots(figures: Mapping[str, Interval], base: float) -> str:
    borders = [_known(one.high) for one in figures.values()] + [
        _known(one.value) for one in figures.values()
    ]
    most = max(*borders, base if not math.isnan(base) else 0.0, 1e-9) * 1.05
    rows = "".join(_plot(name, one, base, most) for name, one in figures.items())
    return f'<div class="plots">{rows}</div>'


def _plot(name: str, figure: Interval, base: float, most: float) -> str:
    if math.isnan(figure.value):
        return ""

    def at(value: float) -> str:
        return f"{100 * value / most:.2f}%"

    text = f"{figure.value:.4f}"
    label = f"{name}: {text}, from {_figure(figure.low, 4)} to {_figure(figure.high, 4)}"
    interval = (
        ""
        if math.isnan(figure.low)
        else f'<line class="interval" x1="{at(figure.low)}" x2="{at(figure.high)}" y1="50%"'
        ' y2="50%"/>'
    )
    line = (
        ""
        if math.isnan(base)
        else f'<line class="base" x1="{at(base)}" x2="{at(base)}" y1="0" y2="100%"/>'
    )
    return (
        f'<div class="plot"><span class="name">{escape(name)}</span>'
        f'<svg role="img" aria-label="{escape(label)}" height="22" width="100%">'
        f'<rect class="bar" x="0" y="5" height="12" width="{at(figure.value)}"/>{line}{interval}'
        f'<circle cx="{at(figure.value)}" cy="50%" r="4"/></svg>'
        f'<span class="figure">{text}</span></div>'
    )


def _table(surface: SurfaceFigures) -> str:
    heads = "".join(
        f'<th scope="col" title="{escape(meaning)}">{escape(short)}</th>'
        for short, meaning in _METRICS.values()
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(one.name)}</th>'
        f"<td>{_compared(one, surface.baseline)}</td>"
        + "".join(f"<td>{_shown(name, one.metrics[name].value)}</td>" for name in _METRICS)
        + f"<td>{_percent(one.coverage)}</td></tr>"
        for one in surface.rankers
    )
    return _scrolling(
        f'<table><thead><tr><th scope="col">ranking</th>'
        f'<th scope="col">× baseline</th>{heads}'
        '<th scope="col" title="open items shown to any user asked">catalogue shown</th>'
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )


def _segments(surface: SurfaceFigures) -> str:
    base = _baseline(surface)
    groups = "".join(
        f"<h4>{escape(label)} {'item' if label == '1' else 'items'} touched before"
        f' <span class="note">{size:,} questions</span></h4>'
        + _plots(
            {one.name: one.segments[label] for one in surface.rankers}, base.segments[label].value
        )
        for label, size in surface.segment_sizes.items()
        if size
    )
    return f"<h3>By how much is known of a user</h3>{groups}"


def _categories(surface: SurfaceFigures) -> str:
    listed = surface.rankers[0].categories[:_MOST_CATEGORIES]
    if len(listed) < 2:
        return ""
    recalls = [
        {one.category: one.recall for one in ranker.categories} for ranker in surface.rankers
    ]
    most = max(max(recall[one.category] for recall in recalls) for one in listed) or 1.0
    heads = "".join(f'<th scope="col">{escape(one.name)}</th>' for one in surface.rankers)
    rows = "".join(
        f'<tr><th scope="row">{escape(one.category)}</th><td>{one.targets:,}</td>'
        + "".join(
            f'<td class="heat" style="--share:{100 * recall[one.category] / most:.0f}%">'
            f"{_percent(recall[one.category])}</td>"
            for recall in recalls
        )
        + "</tr>"
        for one in listed
    )
    more = len(surface.rankers[0].categories) - len(listed)
    rest = f'<p class="note">{more} more in the JSON output.</p>' if more else ""
    table = (
        '<table><thead><tr><th scope="col">category</th><th scope="col">right answers</th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )
    return (
        "<h3>By category</h3>"
        '<p class="note">The part of the right items of a category that was among the ten.</p>'
        f"{_scrolling(table)}{rest}"
    )


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
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in point.items())


def _how_to_read() -> str:
    meanings: Iterable[str] = (
        f"<dt>{escape(short)}</dt><dd>{escape(meaning)}</dd>"
        for short, meaning in _METRICS.values()
    )
    return (
        f"<section><h2>How to read this</h2><dl>{''.join(meanings)}</dl>"
        "<p>An interval says how far the figure would move with other users of the same kind."
        " If that of the ratio to the baseline includes 1, the difference may be chance.</p>"
        "<p>The figures compare rankings; they do not predict sales. A user can only touch what"
        " the site showed in the past, so rankings like the past one have an advantage.</p>"
        "</section>"
    )


def _scrolling(table: str) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-label="table">{table}</div>'


def _compared(one: RankerFigures, baseline: str) -> str:
    if one.name == baseline:
        return "1"
    ratio = one.ratio
    return f"{_figure(ratio.value, 2)} [{_figure(ratio.low, 2)}, {_figure(ratio.high, 2)}]"


def _shown(metric: str, value: float) -> str:
    if metric in _SHARES:
        return _percent(value)
    return _figure(value, 1 if metric == "novelty" else 4 if metric == "ndcg" else 2)


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def _figure(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _known(value: float) -> float:
    return 0.0 if math.isnan(value) else value
