"""What the demonstration prints: plain text in a pipe, tables that fit where there is a terminal."""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from app.demo.check import NATURAL
from billing.tiers import Tier

PIPE_WIDTH = 150
SHOWN = 3
"""So many findings of what any month has are told one by one; the others are summed up."""

Json = Mapping[str, Any]


def console() -> Console:
    """Standard output; a pipe has no width of its own."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def say(to: Console, title: str, *parts: RenderableType) -> None:
    """Print a part of the story under its title, without the spaces that fill lines up to the width."""
    with to.capture() as told:
        to.print(f"\n{title}", style="bold")
        to.print(Padding(Group(*parts), (0, 0, 0, 2)))
    to.file.write("".join(f"{line.rstrip()}\n" for line in told.get().splitlines()))
    to.file.flush()


def coverage(rows: Sequence[Json]) -> Table:
    """Which days have which status, by source."""
    days = defaultdict(list)
    for row in rows:
        days[row["source"], row["status"]].append(date.fromisoformat(row["day"]))
    table = _table("source", "status", "days", "which", words=("status", "which"))
    for (source, status), which in sorted(days.items()):
        table.add_row(_words(source), _words(status), str(len(which)), runs(which))
    return table


def bridge(report: Json, width: int) -> Table:
    """The bridge by tier, or where that is wider than the terminal, its totals."""
    whole = _bridge(report, report["tier_plan"])
    wide = Console(width=1000).measure(whole).maximum
    return whole if wide + 2 <= width else _bridge(report, [])


def _bridge(report: Json, tiers: Sequence[str]) -> Table:
    table = _table("minutes, by publishers", *(Tier.parse(tier).label for tier in tiers), "total", report["currency"])
    for line in report["bridge"]:
        figures = (*(line["minutes"][tier] for tier in tiers), line["total"], money(line["amount"]))
        sign = "= " if line["subtotal"] else "  "
        table.add_row(sign + _words(line["step"]), *figures, style="bold" if line["subtotal"] else None)
    return table


def discrepancies(report: Json) -> Iterator[RenderableType]:
    """Each finding with its sentence, the one of most minutes first; those that any month has are summed up after a few."""
    told: Counter[str] = Counter()
    others: dict[str, list[Decimal]] = defaultdict(list)
    for it in sorted(report["discrepancies"], key=_size, reverse=True):
        told[it["code"]] += 1
        if it["code"] in NATURAL and told[it["code"]] > SHOWN:
            others[it["code"]].append(_size(it))
            continue
        amount = f", {money(it['amount'])} {report['currency']}" if it["amount"] else ""
        yield Text.assemble((it["code"], "bold"), f", {it['severity']}, {minutes(_size(it))} minutes{amount}")
        yield Padding(it["summary"], (0, 0, 0, 4))
    for code, sizes in others.items():
        yield Text.assemble(
            f"and {len(sizes)} more ",
            (code, "bold"),
            f", {minutes(sum(sizes, Decimal()))} minutes in all, each {minutes(max(sizes))} or less",
        )


def readings(report: Json) -> Table:
    """What each level would have been paid for, beside what the meetings used."""
    totals = {line["step"]: Decimal(line["total"]) for line in report["bridge"]}
    amounts = {line["step"]: Decimal(line["amount"]) for line in report["bridge"]}
    used, worth = totals["meeting_level"], amounts["meeting_level"]
    table = _table("reading", "minutes", "more than was used", report["currency"], "more than that is worth")
    for name, level in (
        ("session level, added up as it is answered", "session_level"),
        ("meeting level, what was used in the period", "meeting_level"),
        ("project level, what the vendor bills by", "project_level"),
    ):
        more = totals[level] - used
        dearer = amounts[level] - worth
        table.add_row(
            name,
            minutes(totals[level]),
            f"{minutes(more)} ({more / used:+.2%})" if more else "",
            money(amounts[level]),
            f"{money(dearer)} ({dearer / worth:+.2%})" if more else "",
        )
    return table


def invoice(issued: Json) -> Table:
    """The lines of an invoice and what they come to."""
    table = _table("line", "for", "minutes", "free", "price", issued["currency"], words=("for",))
    for line in issued["lines"]:
        bracket = line["bracket"]
        above = f", above {Decimal(bracket['from']):,}" if bracket and Decimal(bracket["from"]) else ""
        free = minutes(Decimal(line["allowance_used"])) if Decimal(line["allowance_used"]) else ""
        figures = (minutes(Decimal(line["quantity"])), free, line["unit_price"], money(line["amount"]))
        table.add_row(str(line["position"]), line["text"] + above, *figures)
    for it in issued["discounts"]:
        table.add_row("", it["text"], "", "", "", money(f"-{it['amount']}"))
    for it in issued["taxes"]:
        table.add_row("", f"{it['name']}, {it['percent']} % of {money(it['base'])}", "", "", "", money(it["amount"]))
    table.add_row("", "Total", "", "", "", money(issued["total"]), style="bold")
    return table


def audit(entries: Iterable[Json]) -> Table:
    """What was done, in order."""
    table = _table("at", "what", "by", "because", words=("what", "by", "because"))
    for it in entries:
        table.add_row(f"{it['at'][:19]}Z", it["action"], it["actor"].partition(" (")[0], it["detail"].get("reason", ""))
    return table


def money(amount: Decimal | str | None) -> str:
    """An amount as a person reads it, thousands apart."""
    return "" if amount is None else f"{Decimal(amount):,}"


def minutes(value: Decimal) -> str:
    """Minutes to the hundredth, for reading."""
    return f"{value:,.2f}"


def runs(days: Sequence[date]) -> str:
    """Days, those in a row as the first and the last.

    >>> runs([date(2026, 10, 1), date(2026, 10, 2), date(2026, 10, 4)])
    '2026-10-01 to 2026-10-02, 2026-10-04'
    """
    rows = (list(row) for _, row in groupby(enumerate(days), key=lambda it: it[1].toordinal() - it[0]))
    return ", ".join(f"{row[0][1]} to {row[-1][1]}" if len(row) > 1 else str(row[0][1]) for row in rows)


def _size(finding: Json) -> Decimal:
    """How many minutes a finding is about: where they moved from one tier to another, they count once."""
    values = [Decimal(value) for value in finding["minutes"].values()]
    return max(
        sum((value for value in values if value > 0), Decimal()), -sum((value for value in values if value < 0), Decimal())
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _table(first: str, *columns: str, words: Sequence[str] = ()) -> Table:
    """A table without lines: the first column and those of `words` hold words, the others figures."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="left" if column in words else "right", no_wrap=column not in words)
    return table
