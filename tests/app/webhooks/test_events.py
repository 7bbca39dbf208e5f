"""Events are written once, in the transaction of what happened, with a delivery to each endpoint that wants them."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from app.db import transaction
from app.store.webhook_tables import WebhookDelivery, WebhookEndpoint, WebhookEvent
from app.webhooks.events import DATA_LIMIT, DEFINITIONS, EventType, body, emit
from tests.app.conftest import NOW


def endpoint(name: str, **more: Any) -> WebhookEndpoint:
    given = {"types": None, "projects": None, "ordered": False, "enabled": True} | more
    return WebhookEndpoint(
        id=name, url="https://a.example", description="", secrets=[], created_at=NOW, changed_at=NOW, **given
    )


def tell(session: Session, kind: EventType, project_id: Any = "100", subject: str = "it", **data: Any) -> None:
    emit(session, kind, project_id=project_id, subject=subject, data={**DEFINITIONS[kind].example, **data}, now=NOW)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with transaction(engine) as session:
        yield session


def told(session: Session) -> list[tuple[str, str]]:
    statement = select(WebhookDelivery.endpoint_id, WebhookEvent.type).join(WebhookEvent)
    return sorted(session.exec(statement.order_by(col(WebhookEvent.seq))).all())


@pytest.mark.parametrize("kind", EventType)
def test_the_example_of_every_event_is_one(session: Session, kind: EventType) -> None:
    session.add(endpoint("we_1"))
    tell(session, kind)
    event = session.exec(select(WebhookEvent)).one()
    assert event.type == kind
    assert b'"url":"https://here/v1/' in body(event, "https://here/")
    assert b"{" not in body(event, "").partition(b'"url":"')[2].partition(b'"')[0]


def test_an_endpoint_is_told_what_it_chose(session: Session) -> None:
    session.add_all(
        [
            endpoint("all"),
            endpoint("invoices", types=["invoice.drafted", "invoice.finalized"]),
            endpoint("of 200", projects=["200"]),
            endpoint("off", enabled=False),
            endpoint("gone", deleted_at=NOW),
        ]
    )
    tell(session, EventType.REPORT_RESTATED)
    tell(session, EventType.INVOICE_DRAFTED, ["300", "200"])
    tell(session, EventType.ENDPOINT_DISABLED, None)
    assert told(session) == [
        ("all", "endpoint.disabled"),
        ("all", "invoice.drafted"),
        ("all", "report.restated"),
        ("invoices", "invoice.drafted"),
        ("of 200", "endpoint.disabled"),
        ("of 200", "invoice.drafted"),
    ]


def test_what_says_the_same_is_told_once(session: Session) -> None:
    session.add(endpoint("we_1"))
    for state in ("at_risk", "at_risk", "lost"):
        tell(session, EventType.COLLECTION_GAP, state=state)
    assert len(told(session)) == 2


def test_nothing_is_kept_where_nobody_asks(session: Session) -> None:
    session.add(endpoint("we_1", types=["collection.gap"]))
    tell(session, EventType.REPORT_RESTATED)
    assert session.exec(select(WebhookEvent)).all() == []


def test_what_is_rolled_back_is_not_told(engine: Engine) -> None:
    with transaction(engine) as session:
        session.add(endpoint("we_1"))
    with pytest.raises(RuntimeError), transaction(engine) as session:
        tell(session, EventType.REPORT_RESTATED)
        raise RuntimeError
    with transaction(engine, read_only=True) as session:
        assert told(session) == []


def test_an_event_says_what_its_definition_says(session: Session) -> None:
    with pytest.raises(ValueError, match="says"):
        tell(session, EventType.REPORT_RESTATED, more=1)
    with pytest.raises(ValueError, match="larger"):
        tell(session, EventType.REPORT_RESTATED, days=["x" * DATA_LIMIT])
