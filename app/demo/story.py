"""What happens in the demonstration, act by act, and what is told of it."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.progress import track

from app.demo import tables
from app.demo.month import PERIOD, PROJECT, RESTATED, Month, nights
from app.demo.rest import Rest
from billing.period import day_start

MONTH = {"month": f"{PERIOD.first_day:%Y-%m}"}
LOOK = PERIOD.days[15]
"""The day on which the usage of the month's first days is final, and is read before upstream restates one of them."""
CLOSE = PERIOD.last_day + timedelta(days=3)
"""The day on which all of the month's usage is final."""

Json = Mapping[str, Any]


def begin(console: Console, rest: Rest, month: Month) -> None:
    """Tell what is planted and what the period is, and take over the account's projects."""
    tables.say(console, "What is planted", *(f"· {planted.words}" for planted in month.planted))
    asked_in_utc = rest.get("/v1/periods/align", start="2026-10-01T00:00:00Z", end="2026-11-01T00:00:00Z")
    tables.say(
        console,
        "The period",
        f"October 2026 is {rest.get('/v1/periods/align', **MONTH)['explanation']}",
        f"Asked for in UTC it would be {asked_in_utc['explanation']}",
    )
    account = month.dataset["account"]
    rest.post("/v1/projects/import", {"account_key": account["key"], "account_secret": account["secret"]})


def live(console: Console, rest: Rest) -> None:
    """Let the days pass. Each night the day that has ended is collected, and once the first days' usage is read again."""
    steps = list(nights())
    for day, night in track(steps, "The month passes", console=console, transient=True, disable=not console.is_terminal):
        if day == LOOK:
            rest.move_clocks(_evening(LOOK))
            rest.collect(PROJECT, {"first_day": str(PERIOD.first_day), "last_day": str(RESTATED)})
        rest.move_clocks(night)
        rest.collect(PROJECT, {"first_day": str(day), "last_day": str(day)})


def close(console: Console, rest: Rest) -> Json:
    """When all is final, read the month's usage, tell what is held, and reconcile; the report."""
    rest.move_clocks(_evening(CLOSE))
    left_out = defaultdict(list)
    for it in rest.collect(PROJECT, MONTH)["not_collected"]:
        left_out[it["reason"]].append(date.fromisoformat(it["day"]))
    held = rest.get(f"/v1/projects/{PROJECT}/coverage", period=MONTH["month"])["coverage"]
    tables.say(
        console,
        "What was collected",
        f"Each night the meetings of the day that had ended; on {LOOK} the usage of the first days, when it was final;",
        f"on {CLOSE} at 22:00 Pacific the usage of the whole month. By then the meetings could not have been had:",
        *(f"  {tables.runs(days)}: {reason}." for reason, days in left_out.items()),
        "",
        tables.coverage(held),
    )
    report: Json = rest.post(
        "/v1/reconciliations", {"project_id": PROJECT, "period": MONTH, "collect": False}, Prefer="wait=60"
    )
    return report


def tell(console: Console, report: Json) -> None:
    """The bridge, the discrepancies, the verdict, and what it is about in the end: what is to be paid for."""
    tables.say(
        console,
        "The bridge: from what upstream states of its sessions to what it bills",
        tables.bridge(report, console.width),
        "",
        "Each line with a = is the sum of the lines above it, to the micro-minute.",
    )
    tables.say(console, f"The discrepancies: {len(report['discrepancies'])}", *tables.discrepancies(report))
    tables.say(
        console,
        f"The verdict: {report['verdict']}",
        "The vendor's figure for one day is missing, so nobody may invoice this period without giving a name and a reason.",
        f"Of the difference between the levels, {Decimal(report['explained_ratio']):.2%} is explained.",
    )
    session, meeting = (line for line in report["bridge"] if line["step"] in ("session_level", "meeting_level"))
    unused, worth = (Decimal(session[key]) - Decimal(meeting[key]) for key in ("total", "amount"))
    tables.say(
        console,
        "The question of money: how many minutes were used?",
        tables.readings(report),
        "",
        f"Whoever adds up the session level pays or bills {tables.minutes(unused)} minutes that nobody used in October: at the "
        f"vendor's prices, {tables.money(worth)} {report['currency']}.",
    )


def _evening(day: date) -> datetime:
    """22:00 Pacific: upstream's session level is in maintenance then and its daily usage is not, so that alone is asked for."""
    return day_start(day) + timedelta(hours=22)
