"""The style of the page: light and dark, from the width of a phone on."""

STYLE = """
:root { --ink: #1b1f24; --soft: #57606a; --paper: #fff; --line: #d0d7de; --bar: #b6d4fe;
  --mark: #0550ae; --note: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9198a1; --paper: #0d1117; --line: #3d444d; --bar: #1f3d66;
    --mark: #79c0ff; --note: #151b23; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { margin: 1.75rem 0 .25rem; }
h4 { margin: 1rem 0 .25rem; font-size: 1rem; }
.note, .remarks { color: var(--soft); font-size: .875rem; font-weight: normal; margin: .25rem 0; }
.finding { background: var(--note); border-left: 4px solid var(--mark); padding: .75rem 1rem; }
.plot { display: grid; grid-template-columns: 11rem 1fr 4rem; gap: .75rem; align-items: center; }
.plot svg { display: block; overflow: visible; }
.name { overflow-wrap: anywhere; }
.figure { text-align: right; font-variant-numeric: tabular-nums; }
.bar { fill: var(--bar); }
.interval { stroke: var(--mark); stroke-width: 2; }
.base { stroke: var(--soft); stroke-dasharray: 3 3; }
circle { fill: var(--mark); }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
.heat { background: color-mix(in srgb, var(--bar) var(--share), transparent); }
summary { cursor: pointer; color: var(--mark); }
dt { font-weight: 600; }
dd { margin: 0 0 .5rem; }
@media (max-width: 34rem) {
  .plot { grid-template-columns: 1fr auto; row-gap: 0; margin-bottom: .5rem; }
  .plot svg { grid-row: 2; grid-column: 1 / -1; }
}
"""
