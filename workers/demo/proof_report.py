"""The proof as one page: verdicts, curves in SVG, texts. Needs no script and nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import starmap
from operator import itemgetter
from typing import NamedTuple

from workers.demo.proof import Fit, gains
from workers.demo.proof_figures import Report, SeedFigures, Verdict

WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40
STEPS = 60  # points of a fitted curve

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --quiet: #5b6675; --line: #d5dae1; --paper: #fff; --card: #f6f7f9;
  --a: #0b62c4; --b: #b3261e; --c: #1b7f3b; --d: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf0; --quiet: #a3adba; --line: #3a424e; --paper: #14181e;
  --card: #1c222a; --a: #7db5ff; --b: #ff9a92; --c: #74d391; --d: #f0bf63; } }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
figure { margin: 0; padding: 0.75rem; background: var(--card); border-radius: 0.5rem; }
figcaption { color: var(--quiet); font-size: 0.875rem; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--quiet); }
.axis { stroke: var(--line); stroke-width: 1; } .series { fill: none; stroke-width: 2; }
.a { stroke: var(--a); } .b { stroke: var(--b); } .c { stroke: var(--c); } .d { stroke: var(--d); }
circle.a { fill: var(--a); } circle.b { fill: var(--b); } circle.c { fill: var(--c); } circle.d { fill: var(--d); }
.dashed { stroke-dasharray: 5 4; stroke-width: 1.5; }
.key { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; margin: 0 0 0.25rem; padding: 0; list-style: none;
  font-size: 0.875rem; }
.key li::before { content: ""; display: inline-block; width: 1.25rem; margin-right: 0.375rem; vertical-align: middle;
  border-top: 3px solid; }
.key .dashed::before { border-top-style: dashed; }
.key .a::before { border-color: var(--a); } .key .b::before { border-color: var(--b); }
.key .c::before { border-color: var(--c); } .key .d::before { border-color: var(--d); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 0.9375rem; }
th, td { text-align: left; padding: 0.35rem 0.75rem 0.35rem 0; border-bottom: 1px solid var(--line); }
td.number { font-variant-numeric: tabular-nums; } .fails { color: var(--b); font-weight: 700; }
"""


Point = tuple[float, float]


class Line(NamedTuple):
    """A line of a chart; its color is one of a to d."""

    name: str
    colour: str
    dashed: bool
    points: list[Point]

    @property
    def style(self) -> str:
        """Classes of the style sheet."""
        if self.dashed:
            return f"{self.colour} dashed"
        return self.colour


@dataclass
class Chart:
    """Lines and points over two axes, drawn as SVG.

    Attributes:
        across, up: what the axes show, with units.
        dots: (color, points). ticks: places on the x-axis and what stands there; none is a round scale.
    """

    across: str
    up: str
    lines: list[Line] = field(default_factory=list)
    dots: list[tuple[str, list[Point]]] = field(default_factory=list)
    ticks: list[tuple[float, str]] = field(default_factory=list)

    def svg(self, title: str) -> str:
        """The drawing; `title` is what it shows, for who cannot see it."""
        across, up = zip(*self.points(), strict=True)
        (low_x, high_x), (low_y, high_y) = bounds(across), bounds(up)

        def place(x: float, y: float) -> tuple[float, float]:
            across = LEFT + (x - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)
            return across, HEIGHT - BOTTOM - (y - low_y) / (high_y - low_y) * (HEIGHT - TOP - BOTTOM)

        parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
        for value in scale(low_y, high_y):
            _, y = place(low_x, value)
            parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        ticks = self.ticks or [(value, f"{value:g}") for value in scale(low_x, high_x)]
        for value, name in ticks:
            x, _ = place(value, low_y)
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(name)}</text>')
        for line in self.lines:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in starmap(place, line.points))
            parts.append(f'<polyline class="series {line.style}" points="{path}"/>')
        for colour, some in self.dots:
            for x, y in starmap(place, some):
                parts.append(f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(self.across)}</text>')
        parts.append(
            f'<text transform="translate(11 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(self.up)}</text>'
        )
        return "".join([*parts, "</svg>"])

    def points(self) -> list[Point]:
        """The points of all lines and dots."""
        found: list[Point] = []
        for line in self.lines:
            found += line.points
        for _, some in self.dots:
            found += some
        return found


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Least and greatest value with a little room; never equal."""
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or 0.5
    return low - room, high + room


def scale(low: float, high: float, about: int = 5) -> list[float]:
    """Round values between two bounds."""
    step = 10 ** math.floor(math.log10((high - low) / about))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= about:
            step *= factor
            break
    first = math.ceil(low / step)
    return [round(number * step, 10) + 0.0 for number in range(first, math.floor(high / step) + 1)]


def page(report: Report) -> str:
    """The report as HTML."""
    seeds = report["seeds"]
    total = failed = 0
    for figures in seeds:
        for one in figures["verdicts"]:
            total += 1
            failed += not one["ok"]
    names = ", ".join(map(str, map(itemgetter("seed"), seeds)))
    head = f"{total - failed} of {total} claims hold" if failed else f"All {total} claims hold"
    body = [
        f"<h1>Touchstone, proven on a CPU: {head}</h1>",
        f"<p>Seeds {names}, one configuration, "
        f"{report['cpu_seconds']:.0f} s of CPU, {report['wall_seconds']:.0f} s in all. Gold is the demo world's "
        "true utility, 3.5 at most; nothing that is trained sees it. Proxy is the reward model, in standard deviations "
        "above SFT.</p>",
        verdict_table(seeds),
    ]
    for figures in seeds:
        body.append(f"<h2>Seed {figures['seed']}</h2>")
        body.append('<div class="charts">' + "".join(map(figure, charts(figures))) + "</div>")
        body.append(texts(figures))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Touchstone: the proof</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def table(label: str, columns: Sequence[str], rows: Sequence[str]) -> str:
    """A table that scrolls by itself where it does not fit."""
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def verdict_table(seeds: Sequence[SeedFigures]) -> str:
    """Each claim, and its figure for each seed."""
    columns = ["Claim"]
    for figures in seeds:
        columns.append(f"seed {figures['seed']}")
    rows = []
    for claims in zip(*map(itemgetter("verdicts"), seeds), strict=True):
        cells = "".join(map(verdict_cell, claims))
        rows.append(f'<tr><th scope="row">{escape(claims[0]["sentence"])}</th>{cells}</tr>')
    return table("Claims", columns, rows)


def verdict_cell(one: Verdict) -> str:
    fails = "" if one["ok"] else " <span class=fails>fails</span>"
    return f'<td class="number">{escape(verdict_figure(one["value"]))}{fails}</td>'


def verdict_figure(value: float | list[str] | dict[str, int]) -> str:
    if isinstance(value, int | float):
        return f"{value:.3f}"
    return ", ".join(value) or "none"


def figure(drawn: tuple[Chart, str]) -> str:
    """A chart and the sentence under it."""
    chart, title = drawn
    key = "".join(f'<li class="{line.style}">{escape(line.name)}</li>' for line in chart.lines)
    return f'<figure><ul class="key">{key}</ul>{chart.svg(title)}<figcaption>{escape(title)}</figcaption></figure>'


def charts(figures: SeedFigures) -> list[tuple[Chart, str]]:
    """The pictures of one seed."""
    return [against_kl(figures), over_iterations(figures), label_counts(figures), calibration(figures)]


def against_kl(figures: SeedFigures) -> tuple[Chart, str]:
    """Gold gained over SFT against the square root of KL, with both fitted forms."""
    chart = Chart("square root of KL to SFT, nats", "gold gained over SFT")
    rl, best = Fit(**figures["hacked"]["fit"]), Fit(**figures["best_of_fit"])
    spent = {
        "a": gains(figures["best_of"].values(), figures["best_of"]["1"]["gold"]),
        "b": gains(figures["hacked"]["curve"], figures["hacked"]["sft_gold"]),
        "c": gains(figures["ppo"]["curve"], figures["ppo"]["sft_gold"]),
    }
    for colour, name, form in (("a", "best of n, d(α − βd)", best), ("b", "PPO at KL 0, d(α − β log d)", rl)):
        furthest, _ = max(spent[colour])
        chart.lines.append(Line(name, colour, True, fitted_curve(form, furthest)))
    for colour, some in spent.items():
        chart.dots.append((colour, [(math.sqrt(max(kl, 0)), gain) for kl, gain in some]))
    chart.lines.append(Line("PPO, default coefficient", "c", False, dict(chart.dots)["c"]))
    title = (
        f"Gold against KL. Best of n: α {best.alpha:.2f}, β {best.beta:.2f}, R² {best.r2:.2f}{peak(best)}. PPO without "
        f"KL: α {rl.alpha:.2f}, β {rl.beta:.2f}, R² {rl.r2:.2f}{peak(rl)}."
    )
    return chart, title


def fitted_curve(form: Fit, furthest: float) -> list[Point]:
    """A fitted form over the square root of KL, up to a KL in nats."""
    points = []
    for number in range(STEPS + 1):
        kl = furthest * (number / STEPS) ** 2
        points.append((math.sqrt(kl), form.at(kl)))
    return points


def peak(fitted: Fit) -> str:
    if fitted.peak_kl is None:
        return ""
    return f", best at {fitted.peak_kl:.1f} nats"


def over_iterations(figures: SeedFigures) -> tuple[Chart, str]:
    """Proxy and gold as PPO goes, with the KL penalty and without."""
    chart = Chart("iteration of PPO", "gold; proxy in standard deviations")
    for arm, name, gold, proxy in (
        (figures["hacked"], "KL 0", "b", "d"),
        (figures["ppo"], "default", "c", "a"),
    ):
        curve = arm["curve"]
        chart.lines.append(Line(f"gold, {name}", gold, False, list(map(itemgetter("iteration", "gold"), curve))))
        chart.lines.append(Line(f"proxy, {name}", proxy, True, list(map(itemgetter("iteration", "proxy"), curve))))
    hacked = figures["hacked"]
    sounded = sorted(hacked["alarms"].items(), key=itemgetter(1))
    alarms = ", ".join(f"{name} at {step}" for name, step in sounded)
    title = (
        f"Reward hacking. Without KL the proxy ends at {hacked['proxy']:.2f} while gold falls from "
        f"{hacked['peak_gold']:.2f} to {hacked['gold']:.2f}. Alarms: {alarms or 'none'}."
    )
    return chart, title


def label_counts(figures: SeedFigures) -> tuple[Chart, str]:
    """The reward model's held-out accuracy by the number of labels, beside the ceiling."""
    chart = Chart("comparisons to learn from", "share of held-out pairs")
    rows = figures["reward"]
    followed: list[Point] = []
    met: list[Point] = []
    for one in rows:
        place = math.log(one["labels"])
        chart.ticks.append((place, f"{one['labels']:,}"))
        followed.append((place, one["gold_order"]))
        met.append((place, one["accuracy"]))
    chart.lines = [Line("gold order followed", "c", False, followed), Line("labels met", "a", False, met)]
    chart.dots = [("c", followed), ("a", met)]
    ends = [(met[0][0], figures["ceiling"]), (met[-1][0], figures["ceiling"])]
    chart.lines.append(Line("ceiling of labels", "d", True, ends))
    share = rows[-1]["accuracy"] / figures["ceiling"]
    return chart, f"With {rows[-1]['labels']:,} labels the reward model reaches {share:.0%} of the labels' ceiling."


def calibration(figures: SeedFigures) -> tuple[Chart, str]:
    """How often the reward model is right when it is so sure."""
    last = figures["reward"][-1]
    points = list(map(itemgetter("confidence", "right"), last["bins"]))
    chart = Chart("how sure the reward model is", "how often it is right")
    chart.lines = [
        Line("as sure as right", "d", True, [(0.5, 0.5), (1.0, 1.0)]),
        Line("reward model", "a", False, points),
    ]
    chart.dots = [("a", points)]
    return chart, f"Calibration on held-out labels: expected error {last['ece']:.3f}."


def texts(figures: SeedFigures) -> str:
    """What the policy wrote without KL, at the start, at its best and at the end."""
    rows = []
    for one in figures["hacked"]["samples"]:
        rows.append(
            f'<tr><td class="number">{one["iteration"]}</td><td>{escape(one["prompt"])}</td>'
            f'<td>{escape(one["text"])}</td><td class="number">{one["gold"]:.2f}</td></tr>'
        )
    return table("Responses at KL 0", ("Iteration", "Prompt", "Response at KL 0", "Gold"), rows)
