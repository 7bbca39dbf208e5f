"""Closing desks: the books of an office whose closes are run by hand, and what they leave behind."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import func
from sqlmodel import SQLModel, select

from app.db import transaction
from app.flows.close import DueClose, close, due_closes
from app.insights.client import OpenTokCredentials
from app.store import closes, observations, projects, webhooks
from app.store.close_tables import Close
from app.store.money_tables import AuditEntry, Invoice
from app.store.payloads import encode_daily
from app.store.projects import Project
from app.store.tables import DiscrepancyEvent, Report
from app.store.webhook_tables import WebhookEvent
from billing.facts import DailyUsage, Kind
from billing.period import BillingPeriod
from billing.tiers import KNOWN_PLANS
from tests.app.flows.books import PERIOD, Books
from tests.app.flows.conftest import SECRET, VAULT


class Defect(Exception):
    """What nobody expected."""


@dataclass
class Closing:
    """What closes the periods of some books; `broken` says what a project's credentials raise."""

    books: Books
    others: dict[str, Project] = field(default_factory=dict)
    broken: dict[str, Callable[[], Exception]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = {"url": "https://erp.example.com/hooks", "description": "", "types": None, "projects": None, "ordered": False}
        with transaction(self.books.engine) as session:  # an event that nobody wants is not kept
            webhooks.create(session, VAULT, "whsec_0123", actor="test", now=self.books.now, **given)

    def add(self, project_id: str = "200", **more: Any) -> Project:
        """Another project, without meetings to check by."""
        office = self.books.office
        credentials = OpenTokCredentials(project_id, SECRET)
        project = replace(office.project, project_id=project_id, credentials=credentials, cross_check=False, **more)
        with transaction(office.engine) as session:
            self.others[project_id] = projects.create(session, VAULT, project)
        return project

    def use(self, project_id: str, minutes: int = 60, period: BillingPeriod = PERIOD) -> None:
        """Observe so much usage of another project on every day of a period."""
        tiers = dict.fromkeys(KNOWN_PLANS[0].fields, 0) | {"from1To2Publishers": minutes * 1_000_000}
        with transaction(self.books.engine) as session:
            for day in period.days:
                observations.record(
                    session,
                    project_id=project_id,
                    kind=Kind.DAILY_USAGE,
                    day=day,
                    observed_at=self.books.now,
                    payload=encode_daily(DailyUsage(tiers)),
                    requests=1,
                    complete=True,
                )

    def project(self, project_id: str) -> Project:
        if project_id in self.broken:
            raise self.broken[project_id]()
        return self.others.get(project_id, self.books.office.project)

    def close(self, project_id: str = "100", period: BillingPeriod = PERIOD) -> Close:
        return close(self.books.engine, self.project, project_id, period, clock=self.books.office.clock)

    def due(self) -> list[DueClose]:
        return due_closes(self.books.engine, self.books.now)

    def work(self) -> list[DueClose]:
        """One round of the unattended: whatever is due is done, and whoever fails holds up nobody."""
        done = self.due()
        for it in done:
            with suppress(Defect):
                self.close(it.project_id, it.period)
        return done

    def pass_time(self, **time: float) -> None:
        self.books.office.clock.move(self.books.now + timedelta(**time))

    def row(self, project_id: str = "100") -> Close:
        """The latest close of a project."""
        return next(it for it in self.rows() if it.project_id == project_id)

    def rows(self) -> list[Close]:
        with transaction(self.books.engine, read_only=True) as session:
            return sorted(closes.list_page(session, limit=200).items, key=lambda it: it.last_day, reverse=True)

    def invoices(self) -> list[Invoice]:
        with transaction(self.books.engine, read_only=True) as session:
            return list(session.exec(select(Invoice).order_by(Invoice.created_at)).all())

    def reports(self, project_id: str = "100") -> list[Report]:
        with transaction(self.books.engine, read_only=True) as session:
            of_project = select(Report).where(Report.project_id == project_id)
            return list(session.exec(of_project.order_by(Report.first_day, Report.version)).all())

    def told(self) -> list[str]:
        """The types of all events, in order."""
        with transaction(self.books.engine, read_only=True) as session:
            return [it.type for it in session.exec(select(WebhookEvent).order_by(WebhookEvent.seq))]

    def left(self) -> dict[str, int]:
        """How much there is of everything that a close makes."""
        tables: list[type[SQLModel]] = [Report, Invoice, AuditEntry, DiscrepancyEvent, WebhookEvent, Close]
        with transaction(self.books.engine, read_only=True) as session:
            return {it.__name__: session.exec(select(func.count()).select_from(it)).one() for it in tables}
