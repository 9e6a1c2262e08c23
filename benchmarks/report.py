"""Turns measurements into the tables on standard output and in docs/benchmarks.md. Measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.load import Figures
from benchmarks.streams import StreamFigures


@dataclass(slots=True)
class Measured:
    """All that one subject showed; a figure that is missing could not be measured."""

    name: str
    version: str
    switched_on: str
    idle_mb: float
    loaded_mb: float = 0.0
    cpu_us: dict[str, float] = field(default_factory=dict)  # processor time a request, by figure
    best: dict[str, Figures] = field(default_factory=dict)


@dataclass(slots=True)
class Run:
    """One run of everything."""

    subjects: list[Measured] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    load_average: str = ""
    resolution_us: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    find_best_ms: float | None = None
    streams: StreamFigures | None = None
    ledger: str = ""

    def of(self, name: str) -> Measured | None:
        return next((measured for measured in self.subjects if measured.name == name), None)


WHOLE, STREAM, ONE = "whole", "stream", "one"
UPSTREAM, HUB, NGINX, PORTKEY, LITELLM = "bare upstream", "LLM Hub", "nginx", "Portkey gateway", "LiteLLM proxy"


def tables(run: Run) -> str:
    """The report in Markdown, without its heading."""
    parts = [_speeds(run), _targets(run), _rest(run)]
    parts.append("What ran, and what it had switched on:\n\n" + _versions(run))
    if run.missing:
        parts.append("Not measured:\n\n" + "\n".join(f"- {name}: {why}" for name, why in run.missing.items()))
    return "\n\n".join(part for part in parts if part) + "\n"


def _speeds(run: Run) -> str:
    direct = run.of(UPSTREAM)
    rows = []
    for measured in run.subjects:
        whole, stream, one = (measured.best.get(figure) for figure in (WHOLE, STREAM, ONE))
        added = "-"
        if one and direct and measured is not direct and ONE in direct.best:
            base = direct.best[ONE]
            added = f"{one.p50_ms - base.p50_ms:.2f} / {one.p99_ms - base.p99_ms:.2f}"
        cpu = " / ".join(f"{measured.cpu_us[figure]:.0f}" for figure in (WHOLE, STREAM) if figure in measured.cpu_us)
        rows.append(
            [
                measured.name,
                f"{whole.per_s:,.0f}" if whole else "-",
                f"{whole.p50_ms:.2f} / {whole.p99_ms:.2f}" if whole else "-",
                f"{stream.per_s:,.0f}" if stream else "-",
                added,
                cpu or "-",
                f"{measured.idle_mb:.0f} / {measured.loaded_mb:.0f}",
                str(sum(figures.errors for figures in measured.best.values())),
            ]
        )
    head = ["", "requests/s, 32 connections", "p50 / p99, ms", "streams/s of 100 chunks, 16 connections"]
    head += ["added at 1 connection, p50 / p99, ms", "processor, us a request / a stream"]
    head += ["memory idle / loaded, MB", "failed"]
    return _table(head, rows)


def _targets(run: Run) -> str:
    hub = run.of(HUB)
    if hub is None:
        return ""
    rows = []
    for figure, other, wanted, label in (
        (WHOLE, LITELLM, 35.0, "requests/s, times LiteLLM's proxy"),
        (WHOLE, PORTKEY, 3.5, "requests/s, times Portkey's gateway"),
        (WHOLE, NGINX, 0.20, "requests/s, of bare nginx"),
        (STREAM, LITELLM, 150.0, "streams/s, times LiteLLM's proxy"),
        (STREAM, NGINX, 0.38, "streams/s, of bare nginx"),
    ):
        theirs, ours = run.of(other), hub.best.get(figure)
        got = ours.per_s / theirs.best[figure].per_s if theirs and ours and figure in theirs.best else None
        shown = "-" if got is None else f"{got:.0%}" if wanted < 1 else f"{got:.1f}"
        rows.append([label, f"{wanted:.0%}" if wanted < 1 else f"{wanted:g}", shown, _verdict(got, wanted)])
    direct, one = run.of(UPSTREAM), hub.best.get(ONE)
    if direct and one and ONE in direct.best:
        base = direct.best[ONE]
        added, added_p99 = one.p50_ms - base.p50_ms, one.p99_ms - base.p99_ms
        for label, wanted, got in (("median", 0.8, added), ("p99", 3.0, added_p99)):
            rows.append([f"added at 1 connection, {label}, ms", f"<= {wanted:g}", f"{got:.2f}", _verdict(wanted, got)])
    for label, wanted, got in (("idle", 150.0, hub.idle_mb), ("under load", 250.0, hub.loaded_mb)):
        rows.append([f"memory of the server, {label}, MB", f"<= {wanted:g}", f"{got:.0f}", _verdict(wanted, got)])
    for kind, by_size in run.resolution_us.items():
        values = list(by_size.values())
        flat = max(values) / values[0]
        rows.append([f"resolution by {kind}, worst of 1,000 to 100,000 models, times 100 models", "<= 1.5"])
        rows[-1] += [f"{flat:.2f}", _verdict(1.5, flat)]
    if run.streams:
        shown = f"{run.streams.opened} of {run.streams.asked}"
        rows.append(["streams open on one worker", "1000", shown, _verdict(run.streams.opened, 1000)])
    if run.streams and run.streams.hang_up_ms:
        median = statistics.median(run.streams.hang_up_ms)
        rows.append(["client gone until its upstream is closed, median, ms", "<= 200"])
        rows[-1] += [f"{median:.0f}", _verdict(200, median)]
    return "Against what was aimed at:\n\n" + _table(["figure", "aim", "measured", ""], rows)


def _verdict(got: float | None, wanted: float) -> str:
    return "not measured" if got is None else "reached" if got >= wanted else "**missed**"


def _rest(run: Run) -> str:
    lines = []
    if run.streams:
        figures = run.streams
        closed = "not within 20 s" if figures.all_closed_s is None else f"{figures.all_closed_s:.2f} s"
        lines.append(
            f"- {figures.opened} open streams: {figures.each_kb:.0f} kB each ({figures.before_mb:.0f} to "
            f"{figures.with_all_mb:.0f} MB); all clients gone at once, the last upstream closed after: {closed}."
        )
        if figures.hang_up_ms:
            lines.append(
                f"- A client that leaves its stream, {len(figures.hang_up_ms)} times: the upstream was seen closed "
                f"after {figures.hang_up_ms[0]:.0f} to {figures.hang_up_ms[-1]:.0f} ms."
            )
    for kind, by_size in run.resolution_us.items():
        shown = ", ".join(f"{value:.0f} us at {int(size):,}" for size, value in by_size.items())
        lines.append(f"- Resolution by {kind}: {shown}.")
    if run.find_best_ms is not None:
        lines.append(f"- `find_best` over 2,000 models: {run.find_best_ms:.2f} ms of processor time.")
    if run.ledger:
        lines.append(f"- {run.ledger}")
    return "Besides:\n\n" + "\n".join(lines) if lines else ""


def _versions(run: Run) -> str:
    rows = [[measured.name, measured.version or "-", measured.switched_on] for measured in run.subjects]
    return _table(["", "version", "switched on"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
