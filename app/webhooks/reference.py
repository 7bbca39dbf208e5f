"""The part of docs/webhooks.md that the code knows: `python -m app.webhooks.reference` writes it, a test holds it current."""

import json
from datetime import UTC, datetime
from pathlib import Path

from app.store.webhook_tables import WebhookEvent
from app.webhooks.events import DEFINITIONS, Definition, EventType, body
from app.webhooks.schedule import DELAYS

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
BEGIN = "<!-- From here on the code writes: python -m app.webhooks.reference -->\n"
_AT = datetime(2026, 11, 4, 6, tzinfo=UTC)


def reference() -> str:
    """When it is tried again, and every event with its fields and an example, as Markdown."""
    return "\n".join([_schedule(), *(_event(type_, definition) for type_, definition in DEFINITIONS.items())])


def renewed(page: str) -> str:
    """The page with the reference as the code has it now."""
    return page.partition(BEGIN)[0] + BEGIN + "\n" + reference()


def _schedule() -> str:
    rows, waited = [], 0
    for number, delay in enumerate(DELAYS, 2):
        waited += delay
        rows.append(f"| {number} | {_span(delay)} | {_span(waited)} |")
    return "\n".join(
        ["## The attempts", "", "| attempt | after the one before | after the first |", "| --- | --- | --- |", *rows, ""]
    )


def _span(seconds: int) -> str:
    parts = ((seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def _event(type_: EventType, it: Definition) -> str:
    example = WebhookEvent(id="evt_1", type=type_, subject="", projects=None, data=dict(it.example), created_at=_AT)
    shown = json.dumps(json.loads(body(example, "https://reckoner.example.com")), indent=1)
    rows = [f"| `{name}` | {meaning} |" for name, meaning in it.fields.items()]
    return "\n".join(
        [
            f"## `{type_}`",
            "",
            it.when,
            "",
            f"The order is kept for each {it.subject}.",
            "",
            "| in `data` | what it is |",
            "| --- | --- |",
            *rows,
            "| `url` | where to read more |",
            "",
            "```json",
            shown,
            "```",
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
