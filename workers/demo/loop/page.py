"""The report of the loop as one page: claims, the staircase of what served, each round, each comparison, the cost."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from workers.demo.loop.claims import Claim, claims, steps
from workers.demo.proof_report import STYLE, Chart, Line, Point, figure, table


def page(report: Mapping[str, Any]) -> str:
    """The report as HTML."""
    seeds = report["seeds"]
    of_seeds = [claims(one) for one in seeds]
    failed = sum(not one.holds for some in of_seeds for one in some)
    total = sum(map(len, of_seeds))
    head = f"{total - failed} of {total} claims hold" if failed else f"All {total} claims hold"
    names = ", ".join(str(one["seed"]) for one in seeds)
    body = [
        f"<h1>Touchstone, the loop closed: {head}</h1>",
        f"<p>Seeds {names}; {report['wall_seconds'] / 60:.0f} minutes in all. Gold is the demo world's true utility, "
        "3.5 at most, on prompts that nothing was trained on. It is computed outside, when everything is over: neither "
        "the trainer nor the service reads it.</p>",
        _claims(seeds, of_seeds),
    ]
    for one in seeds:
        body.append(f"<h2>Seed {one['seed']}</h2>")
        if one.get("error"):
            body.append(f"<p>{escape(one['error'])}</p>")
        if steps(one):
            body.append(f'<div class="charts">{figure(staircase(one))}</div>')
        body += [_rounds(one), _contests(one), _cost(one)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Touchstone: the loop</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def _claims(seeds: Sequence[Mapping[str, Any]], of_seeds: Sequence[Sequence[Claim]]) -> str:
    rows = []
    for some in zip(*of_seeds, strict=True):
        cells = ""
        for one in some:
            fails = "" if one.holds else " <span class=fails>fails</span>"
            cells += f'<td class="number">{escape(one.value)}{fails}</td>'
        rows.append(f'<tr><th scope="row">{escape(some[0].sentence)}</th>{cells}</tr>')
    return table("Claims", ["Claim", *(f"seed {one['seed']}" for one in seeds)], rows)


def staircase(report: Mapping[str, Any]) -> tuple[Chart, str]:
    """Gold of what serves against the labels given so far, with the candidates that people or checks kept back."""
    golds = {name: worth["held_out"]["gold"] for name, worth in report["gold"].items()}
    names = {one["id"]: one["short"] for one in report["versions"]}
    chart = Chart("labels given so far, votes included", "gold of what serves")
    first = steps(report)[0][1]
    line: list[Point] = [(0.0, first)]
    kept: list[Point] = []
    used = 0.0
    for one in report["campaign"]["rounds"]:
        used += sum(one["labels"].values())
        line.append((used, line[-1][1]))
        serves = golds.get(names.get(one["serves"], ""))
        if serves is not None:
            line.append((used, serves))
        if one["candidate"] and one["decision"] in ("kept", "refused") and names.get(one["candidate"]) in golds:
            kept.append((used, golds[names[one["candidate"]]]))
    chart.lines = [Line("what serves", "c", False, line)]
    chart.lines.append(Line("first policy", "d", True, [(0.0, first), (used, first)]))
    chart.dots = [("c", line), ("b", kept)]
    return chart, f"What serves, over {used:,.0f} labels. Red: candidates of rounds that were not promoted."


def _rounds(report: Mapping[str, Any]) -> str:
    rows = []
    names = {one["id"]: one["short"] for one in report.get("versions", [])}
    golds = report.get("gold", {})
    for one in report.get("campaign", {}).get("rounds", []):
        candidate = names.get(one["candidate"] or "", "")
        worth = golds.get(candidate, {}).get("held_out", {}).get("gold")
        evidence = one["evidence"] or {}
        tally = f"{evidence['votes']} votes, E = {evidence['e']:.3g}" if evidence else ""
        labels = ", ".join(f"{count} {arm}" for arm, count in one["labels"].items())
        cells = (
            str(one["number"]),
            labels,
            candidate,
            "" if worth is None else f"{worth:.2f}",
            one["decision"] or one["state"],
            " ".join(filter(None, (one["reason"], tally))),
            f"{one['training_seconds']:.0f} s ({one['cpu_seconds']:.0f} s of CPU)",
            f"{one['people_seconds']:.0f} s",
        )
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    columns = ("Round", "Labels", "Candidate", "Gold", "Decision", "Why", "Training", "People")
    return "<h3>Rounds</h3>" + table("Rounds", columns, rows)


def _contests(report: Mapping[str, Any]) -> str:
    rows = []
    names = {one["id"]: one["short"] for one in report.get("versions", [])}
    golds = report.get("gold", {})
    planted = {one["contest"]: name for name, one in report.get("planted", {}).items()}
    for one in reversed(report.get("contests", [])):
        candidate = names.get(one["candidates"][0]["id"], "")
        worth = golds.get(candidate, {}).get("held_out", {}).get("gold")
        cells = (
            f"{candidate} ({planted[one['id']]})" if one["id"] in planted else candidate,
            names.get(one["incumbent"], ""),
            "" if worth is None else f"{worth:.2f}",
            one["decision"] or one["state"],
            one["figures"]["standings"][0]["sentence"],
            " ".join(finding["sentence"] for finding in one["findings"]),
        )
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    columns = ("Candidate", "Against", "Gold", "Decision", "Evidence", "Findings at opening")
    return "<h3>Comparisons</h3>" + table("Comparisons", columns, rows)


def _cost(report: Mapping[str, Any]) -> str:
    rows = [
        f'<tr><th scope="row">{escape(name)}</th><td class="number">{seconds:,.0f} s</td></tr>'
        for name, seconds in report.get("cpu_seconds", {}).items()
    ]
    wall = ", ".join(f"{name} {seconds / 60:.1f} min" for name, seconds in report.get("seconds", {}).items())
    return f"<h3>Cost</h3><p>By the clock: {escape(wall)}.</p>" + table("CPU time", ("Part", "CPU time"), rows)
