#!/usr/bin/env python3
"""Draws what `ringway bench --json FILE` measured: one HTML page that needs nothing else, or one SVG picture of all ratios.

usage: bench/draw.py RESULTS.json PAGE.html | PICTURE.svg
"""

import html
import json
import sys

BAR_LEFT = 84
BAR_WIDTH = 500
BAR_HEIGHT = 20
GAP = 8

STYLE = """
:root { --page: #fbfbfa; --ink: #1d2127; --soft: #626a75; --line: #dcdfe3; --card: #ffffff;
  --kernel: #a3abb6; --ringway: #1f6fd6; --dot: #1d2127; --good: #1a7f4b; --bad: #b3541e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171b; --ink: #e7e9ec; --soft: #9aa3ae; --line: #2c3239; --card: #1b1f25;
    --kernel: #6d7783; --ringway: #5aa2ff; --dot: #f2f4f6; --good: #58c98c; --bad: #f0a06a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 860px; margin: 0 auto; padding: 32px 20px 48px; }
h1 { font-size: 26px; margin: 0 0 4px; }
p { margin: 4px 0; color: var(--soft); }
.note { color: var(--bad); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 14px 16px 10px; margin: 14px 0; }
.head { display: flex; justify-content: space-between; align-items: baseline; gap: 16px; }
h2 { font-size: 16px; margin: 0; font-weight: 600; }
.ratio { font-size: 22px; font-weight: 700; white-space: nowrap; }
.ratio small { font-size: 13px; font-weight: 400; color: var(--soft); }
.met { color: var(--good); } .missed { color: var(--bad); }
svg { width: 100%; height: auto; display: block; margin: 6px 0 2px; }
svg text { fill: var(--ink); font-size: 13px; font-family: inherit; }
svg .name { fill: var(--soft); }
.kernel { fill: var(--kernel); } .ringway { fill: var(--ringway); }
.run { stroke: var(--dot); stroke-width: 1.5; opacity: .45; }
.goal { stroke: var(--good); stroke-width: 2; stroke-dasharray: 4 3; }
table { border-collapse: collapse; font-size: 13px; color: var(--soft); width: 100%; }
td, th { text-align: right; padding: 1px 0 1px 12px; font-weight: 400;
  font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { text-align: left; padding-left: 0; }
.legend b { font-weight: 600; color: var(--ink); }
"""


def figure(value):
    """Three digits or so; None is a dash."""
    if value is None:
        return "–"
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 1e4:
        return f"{value / 1e3:.1f} k"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 0.1:
        return f"{value:.2f}"
    return f"{value:.4f}"


def times(ratio):
    return "–" if ratio is None else f"{ratio:.1f}×" if ratio >= 10 else f"{ratio:.2f}×"


def values_of_runs(case, side):
    runs = [pair.get(side, {}) for pair in case["pairs"]]
    return [run[case["metric"]] for run in runs if case["metric"] in run and "failure" not in run]


def goal_value(case):
    """The value that Ringway must reach: a limit, or the kernel's times the target."""
    if not case.get("target"):
        return None
    if case["target_is_limit"]:
        return case["target"]
    kernel = case["kernel"]["value"]
    if kernel is None:
        return None
    return kernel * case["target"] if case["higher_is_better"] else kernel / case["target"]


def bar(case, side, top, scale):
    """One row of the chart: name, bar of the median, a stroke for each run, the value."""
    name = {"kernel": "kernel", "ringway": "Ringway"}[side]
    middle = top + BAR_HEIGHT * 0.72
    parts = [f'<text class="name" x="0" y="{middle:.1f}">{name}</text>']
    value = (case.get(side) or {}).get("value")
    if value is None:
        parts.append(f'<text class="name" x="{BAR_LEFT}" y="{middle:.1f}">not measured</text>')
        return parts
    width = max(value * scale, 1)
    parts.append(
        f'<rect class="{side}" x="{BAR_LEFT}" y="{top}" width="{width:.1f}" height="{BAR_HEIGHT}" rx="2"/>'
    )
    furthest = width
    for one in values_of_runs(case, side):
        x = BAR_LEFT + one * scale
        furthest = max(furthest, one * scale)
        parts.append(f'<line class="run" x1="{x:.1f}" x2="{x:.1f}" y1="{top + 4}" y2="{top + BAR_HEIGHT - 4}"/>')
    label = f'{figure(value)} {html.escape(case["unit"])}'
    parts.append(f'<text x="{BAR_LEFT + furthest + 8:.1f}" y="{middle:.1f}">{label}</text>')
    return parts


def chart(case):
    goal = goal_value(case)
    seen = values_of_runs(case, "kernel") + values_of_runs(case, "ringway") + ([goal] if goal else [])
    scale = BAR_WIDTH / max(seen + [1e-9])
    height = 2 * BAR_HEIGHT + GAP + 4
    parts = bar(case, "kernel", 2, scale) + bar(case, "ringway", 2 + BAR_HEIGHT + GAP, scale)
    if goal:
        x = BAR_LEFT + goal * scale
        top = BAR_HEIGHT + GAP - 1
        parts.append(f'<line class="goal" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{height}"/>')
    label = html.escape(f'{case["title"]}: kernel against Ringway')
    return f'<svg viewBox="0 0 720 {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def side_row(name, side):
    cells = [
        name,
        figure(side["p50_us"]),
        figure(side["p99_us"]),
        f'{side["server_cores"]:.2f}',
        f'{side["client_cores"]:.2f}',
        figure(side["requests_per_cpu_second"]),
        f'{side["steal_percent"]:.1f} %',
        f'{side["foreign_cores"]:.2f}',
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def details(case):
    heads = ["", "p50 µs", "p99 µs", "server cores", "client cores", "requests per CPU s", "steal", "other cores"]
    rows = ["<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    rows.append(side_row("kernel", case["kernel"]))
    if case["ringway"]:
        rows.append(side_row("Ringway", case["ringway"]))
    return "<table>" + "".join(rows) + "</table>"


def failures(case):
    lines = []
    for key, name in (("kernel", "kernel"), ("ringway", "Ringway")):
        side = case[key]
        if side and side["failures"]:
            text = f'{name}: {side["failures"]} of {side["runs"]} runs failed: {side["first_failure"]}'
            lines.append(f'<p class="note">{html.escape(text)}</p>')
    return "".join(lines)


def headline(case):
    if case["target_is_limit"]:
        goal = f'limit {case["target"]:g} {case["unit"]}'
        value = (case["ringway"] or {}).get("value")
        text = "–" if value is None else f'{figure(value)} {case["unit"]}'
    else:
        goal = f'goal {case["target"]:g}×' if case["target"] else "no goal"
        text = times(case["ratio"])
    kind = "met" if case["verdict"] == "met" else "missed" if case["verdict"] else ""
    return f'<div class="ratio {kind}">{html.escape(text)} <small>{html.escape(goal)}</small></div>'


def section(case):
    title = html.escape(case["title"])
    if "skipped" in case:
        return f'<section><h2>{title}</h2><p class="note">skipped: {html.escape(case["skipped"])}</p></section>'
    sense = "longer is better" if case["higher_is_better"] else "shorter is better"
    congestion = case["congestion_control"]
    taken = f", kernel with {html.escape(congestion)}" if congestion else ""
    return (
        f'<section><div class="head"><div><h2>{title}</h2><p>{html.escape(case["name"])}: {sense}{taken}</p></div>'
        f"{headline(case)}</div>{chart(case)}{failures(case)}{details(case)}</section>"
    )


def page(results):
    machine = results["machine"]
    facts = (
        f'{machine["cpu"]}, {machine["cores"]} cores, Linux {machine["kernel"]}; {results["date"]}; '
        f'{results["pairs"]} pairs, kernel and Ringway in turn'
    )
    missing = ""
    if not results["ringway_available"]:
        missing = f'<p class="note">Only the kernel was measured: {html.escape(results["why_no_ringway"])}</p>'
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ringway and the kernel</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>Ringway and the kernel</h1>
<p>The same unmodified programs on the kernel's loopback and on Ringway.</p>
<p>{html.escape(facts)}</p>
{missing}
{"".join(section(case) for case in results["cases"])}
<p class="legend"><b>Bars</b> are medians, the strokes on them single runs, the dashed line is the goal.
<b>The factor</b> tells how many times better Ringway is.
<b>p99</b> is taken from pairs in which the host took less than 5 % of the time (steal).
<b>Other cores</b>: what programs outside of the test used meanwhile.</p>
</main>
</body>
</html>
"""


PICTURE_ROW = 30


def picture(results):
    """All ratios in one drawing that stands alone (for a README): bar, factor, goal."""
    cases = [case for case in results["cases"] if case.get("ratio") and not case.get("target_is_limit")]
    most = max([case["ratio"] for case in cases] + [1])
    scale = 330 / most
    parts = []
    for row, case in enumerate(cases):
        top = 34 + row * PICTURE_ROW
        width = max(case["ratio"] * scale, 1)
        parts.append(f'<text x="0" y="{top + 15}">{html.escape(case["title"])}</text>')
        parts.append(f'<rect x="330" y="{top}" width="{width:.1f}" height="20" rx="2" fill="#2f6fb5"/>')
        if case.get("target"):
            x = 330 + case["target"] * scale
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3}" y2="{top + 23}" stroke="#c2571a" stroke-dasharray="3 2"/>')
        parts.append(f'<text x="{336 + width:.1f}" y="{top + 15}">{times(case["ratio"])}</text>')
    height = 44 + len(cases) * PICTURE_ROW
    caption = f'Ringway against kernel loopback: times better, {results["pairs"]} pairs; dashed: goal'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 {height}" width="740" height="{height}" '
        f'font-family="sans-serif" font-size="14" fill="#444"><rect width="740" height="{height}" fill="#fff"/>'
        f'<text x="0" y="18" font-weight="bold">{html.escape(caption)}</text>{"".join(parts)}</svg>\n'
    )


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip().splitlines()[-1])
    try:
        with open(sys.argv[1], encoding="utf-8") as file:
            results = json.load(file)
    except (OSError, ValueError) as error:
        sys.exit(f"draw.py: {sys.argv[1]}: {error}")
    if not isinstance(results, dict) or results.get("format") != 1:
        sys.exit(f"draw.py: {sys.argv[1]} is not a result of `ringway bench --json`")
    try:
        with open(sys.argv[2], "w", encoding="utf-8") as file:
            file.write(picture(results) if sys.argv[2].endswith(".svg") else page(results))
    except OSError as error:
        sys.exit(f"draw.py: {error}")


if __name__ == "__main__":
    main()
