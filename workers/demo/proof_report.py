"""The proof as one page: verdicts, curves in SVG, texts. Needs no script and nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from workers.demo.proof import Fit

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


@dataclass
class Chart:
    """Lines and points over two axes, drawn as SVG.

    Attributes:
        across, up: what the axes show, with units.
        lines: (name, colour a to d, whether dashed, points).
        dots: (colour, points). ticks: places on the x-axis and what stands there; none is a round scale.
    """

    across: str
    up: str
    lines: list[tuple[str, str, bool, list[tuple[float, float]]]] = field(default_factory=list)
    dots: list[tuple[str, list[tuple[float, float]]]] = field(default_factory=list)
    ticks: list[tuple[float, str]] = field(default_factory=list)

    def svg(self, title: str) -> str:
        """The drawing; `title` is what it shows, for who cannot see it."""
        points = [point for *_, some in self.lines for point in some] + [p for _, some in self.dots for p in some]
        (low_x, high_x), (low_y, high_y) = (bounds([point[axis] for point in points]) for axis in (0, 1))

        def place(x: float, y: float) -> tuple[float, float]:
            across = LEFT + (x - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)
            return across, HEIGHT - BOTTOM - (y - low_y) / (high_y - low_y) * (HEIGHT - TOP - BOTTOM)

        parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
        for value in scale(low_y, high_y):
            _, y = place(low_x, value)
            parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        for value, name in self.ticks or [(value, f"{value:g}") for value in scale(low_x, high_x)]:
            x, _ = place(value, low_y)
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(name)}</text>')
        for _, colour, dashed, some in self.lines:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in some))
            parts.append(f'<polyline class="series {colour}{" dashed" if dashed else ""}" points="{path}"/>')
        for colour, some in self.dots:
            spots = (place(*point) for point in some)
            parts += [f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in spots]
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(self.across)}</text>')
        parts.append(
            f'<text transform="translate(11 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(self.up)}</text>'
        )
        return "".join([*parts, "</svg>"])


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Least and greatest value with a little room; never equal."""
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or 0.5
    return low - room, high + room


def scale(low: float, high: float, about: int = 5) -> list[float]:
    """Round values between two bounds."""
    step = 10 ** math.floor(math.log10((high - low) / about))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= about)
    first = math.ceil(low / step)
    return [round(number * step, 10) + 0.0 for number in range(first, math.floor(high / step) + 1)]


def page(report: Mapping[str, Any]) -> str:
    """The report as HTML."""
    seeds = report["seeds"]
    failed = sum(not one["ok"] for figures in seeds for one in figures["verdicts"])
    total = sum(len(figures["verdicts"]) for figures in seeds)
    head = f"{total - failed} of {total} claims hold" if failed else f"All {total} claims hold"
    body = [
        f"<h1>Touchstone, proven on a CPU: {head}</h1>",
        f"<p>Seeds {', '.join(str(figures['seed']) for figures in seeds)}, one configuration, "
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


def verdict_table(seeds: Sequence[Mapping[str, Any]]) -> str:
    """Each claim, and its figure for each seed."""
    head = "".join(f'<th scope="col">seed {figures["seed"]}</th>' for figures in seeds)
    rows = []
    for number, claim in enumerate(seeds[0]["verdicts"]):
        cells = "".join(verdict_cell(figures["verdicts"][number]) for figures in seeds)
        rows.append(f'<tr><th scope="row">{escape(claim["sentence"])}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Claims"><table><thead><tr><th scope="col">Claim'
        f"</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def verdict_cell(one: Mapping[str, Any]) -> str:
    value = one["value"]
    text = f"{value:.3f}" if isinstance(value, float) else ", ".join(map(str, value)) or "none"
    return f'<td class="number">{escape(text)}{"" if one["ok"] else " <span class=fails>fails</span>"}</td>'


def figure(drawn: tuple[Chart, str]) -> str:
    """A chart and the sentence under it."""
    chart, title = drawn
    key = "".join(
        f'<li class="{colour}{" dashed" if dashed else ""}">{escape(name)}</li>'
        for name, colour, dashed, _ in chart.lines
    )
    return f'<figure><ul class="key">{key}</ul>{chart.svg(title)}<figcaption>{escape(title)}</figcaption></figure>'


def charts(figures: Mapping[str, Any]) -> list[tuple[Chart, str]]:
    """The pictures of one seed."""
    return [against_kl(figures), over_iterations(figures), label_counts(figures), calibration(figures)]


def against_kl(figures: Mapping[str, Any]) -> tuple[Chart, str]:
    """Gold gained over SFT against the square root of KL, with both fitted forms."""
    chart = Chart("square root of KL to SFT, nats", "gold gained over SFT")
    rl, best = Fit(**figures["hacked"]["fit"]), Fit(**figures["best_of_fit"])
    start = figures["best_of"]["1"]["gold"]
    spent = {
        "a": [(one["kl"], one["gold"] - start) for one in figures["best_of"].values()],
        "b": [(one["kl"], one["gold"] - figures["hacked"]["sft_gold"]) for one in figures["hacked"]["curve"]],
        "c": [(one["kl"], one["gold"] - figures["ppo"]["sft_gold"]) for one in figures["ppo"]["curve"]],
    }
    for colour, name, form in (("a", "best of n, d(α − βd)", best), ("b", "PPO at KL 0, d(α − β log d)", rl)):
        furthest = max(kl for kl, _ in spent[colour])
        kls = [furthest * (number / STEPS) ** 2 for number in range(STEPS + 1)]
        chart.lines.append((name, colour, True, [(math.sqrt(kl), form.at(kl)) for kl in kls]))
    own = [(math.sqrt(max(kl, 0)), gain) for kl, gain in spent["c"]]
    chart.lines.append(("PPO, default coefficient", "c", False, own))
    chart.dots = [(colour, [(math.sqrt(max(kl, 0)), gain) for kl, gain in some]) for colour, some in spent.items()]
    title = (
        f"Gold against KL. Best of n: α {best.alpha:.2f}, β {best.beta:.2f}, R² {best.r2:.2f}{peak(best)}. PPO without "
        f"KL: α {rl.alpha:.2f}, β {rl.beta:.2f}, R² {rl.r2:.2f}{peak(rl)}."
    )
    return chart, title


def peak(fitted: Fit) -> str:
    if fitted.peak_kl is None:
        return ""
    return f", best at {fitted.peak_kl:.1f} nats"


def over_iterations(figures: Mapping[str, Any]) -> tuple[Chart, str]:
    """Proxy and gold as PPO goes, with the KL penalty and without."""
    chart = Chart("iteration of PPO", "gold; proxy in standard deviations")
    for arm, name, gold, proxy in (("hacked", "KL 0", "b", "d"), ("ppo", "default", "c", "a")):
        curve = figures[arm]["curve"]
        chart.lines.append((f"gold, {name}", gold, False, [(one["iteration"], one["gold"]) for one in curve]))
        chart.lines.append((f"proxy, {name}", proxy, True, [(one["iteration"], one["proxy"]) for one in curve]))
    hacked = figures["hacked"]
    alarms = ", ".join(f"{name} at {step}" for name, step in sorted(hacked["alarms"].items(), key=lambda one: one[1]))
    title = (
        f"Reward hacking. Without KL the proxy ends at {hacked['proxy']:.2f} while gold falls from "
        f"{hacked['peak_gold']:.2f} to {hacked['gold']:.2f}. Alarms: {alarms or 'none'}."
    )
    return chart, title


def label_counts(figures: Mapping[str, Any]) -> tuple[Chart, str]:
    """The reward model's held-out accuracy by the number of labels, beside the ceiling."""
    chart = Chart("comparisons to learn from", "share of held-out pairs")
    rows = figures["reward"]
    chart.ticks = [(math.log(one["labels"]), f"{one['labels']:,}") for one in rows]
    for key, name, colour in (("gold_order", "gold order followed", "c"), ("accuracy", "labels met", "a")):
        points = [(math.log(one["labels"]), one[key]) for one in rows]
        chart.lines.append((name, colour, False, points))
        chart.dots.append((colour, points))
    ends = [(math.log(rows[0]["labels"]), figures["ceiling"]), (math.log(rows[-1]["labels"]), figures["ceiling"])]
    chart.lines.append(("ceiling of labels", "d", True, ends))
    share = rows[-1]["accuracy"] / figures["ceiling"]
    return chart, f"With {rows[-1]['labels']:,} labels the reward model reaches {share:.0%} of the labels' ceiling."


def calibration(figures: Mapping[str, Any]) -> tuple[Chart, str]:
    """How often the reward model is right when it is so sure."""
    last = figures["reward"][-1]
    points = [(one["confidence"], one["right"]) for one in last["bins"]]
    chart = Chart("how sure the reward model is", "how often it is right")
    chart.lines = [("as sure as right", "d", True, [(0.5, 0.5), (1.0, 1.0)]), ("reward model", "a", False, points)]
    chart.dots = [("a", points)]
    return chart, f"Calibration on held-out labels: expected error {last['ece']:.3f}."


def texts(figures: Mapping[str, Any]) -> str:
    """What the policy wrote without KL, at the start, at its best and at the end."""
    rows = "".join(
        f'<tr><td class="number">{one["iteration"]}</td><td>{escape(one["prompt"])}</td><td>{escape(one["text"])}</td>'
        f'<td class="number">{one["gold"]:.2f}</td></tr>'
        for one in figures["hacked"]["samples"]
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Iteration", "Prompt", "Response at KL 0", "Gold"))
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Responses at KL 0"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
