"""Verifying: every payload is what its name says, every report can be made again, byte for byte, from what it lists, and rate
cards, invoices and the audit log say what their hashes say."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy.engine import Engine
from sqlmodel import Session

from app.db import transaction
from app.errors import NotFound
from app.flows.reconcile import gather, priced
from app.store import audit, invoices, observations, rate_cards, reports, vendor_invoices, written
from app.store.meeting_rows import PayloadError
from app.store.payloads import content_hash
from app.store.tables import Report
from billing import report as made
from billing.facts import Observation
from billing.invoiced import after_invoicing, stated
from billing.minutes import parse_minutes
from billing.model import Basis, ProjectTerms, Reconciliation, Tolerance
from billing.period import resolve
from billing.ratecard import RateCard
from billing.reconcile import reconcile as balance
from billing.tiers import TierPlan


def verify(engine: Engine, report_id: str) -> list[str]:
    """What is wrong with a report, a sentence each; nothing if it is what its observations give. Raises NotFound."""
    with transaction(engine, read_only=True) as session:
        return _report(session, reports.get(session, report_id))


def verify_all(engine: Engine) -> list[str]:
    """What is wrong with anything in the store that must not change, a sentence each."""
    with transaction(engine, read_only=True) as session:
        found = [problem for sha256 in observations.payload_hashes(session) for problem in _payload(session, sha256)]
        found += [problem for it in reports.ids(session) for problem in _report(session, reports.get(session, it))]
        found += [*rate_cards.check(session), *invoices.check(session), *_foundations(session)]
        found += vendor_invoices.check(session)
        return [*found, *written.check(session), *audit.check(session)]


def _foundations(session: Session) -> Iterator[str]:
    """Invoices whose reports are not there any more, as they were."""
    known = reports.hashes(session)
    for invoice_id, report_id, sha256 in invoices.foundations(session):
        if known.get(report_id) != sha256:
            yield f"The invoice {invoice_id} rests on the report {report_id}, which is not there as it was."


def _payload(session: Session, sha256: str) -> Iterator[str]:
    try:
        if content_hash(observations.payload(session, sha256)) != sha256:
            yield f"The payload {sha256} does not say what its hash says."
    except NotFound as error:
        yield error.message
    except PayloadError as error:
        yield f"The payload {sha256} cannot be read: {error}."


def _report(session: Session, report: Report) -> list[str]:
    """Each check rests on the one before, so the first to find something is the last."""
    name = f"The report {report.id}"
    envelope = made.Envelope(report.id, report.version, report.supersedes, report.created_at)
    try:
        core = made.core_of(report.body)
    except msgspec.DecodeError:
        return [f"{name} cannot be read."]
    if made.digest(core) != report.sha256 or made.document(core, envelope) != report.body:
        return [f"{name} does not say what its hash says."]

    content: dict[str, Any] = msgspec.json.decode(core)
    held, problems = list[Observation](), list[str]()
    for one in content["observations"]:
        try:
            held.append(observations.get(session, one["id"]))
        except NotFound as error:
            problems.append(f"{name} cannot be made again: {error.message}")
    problems += [f"{name}: {problem}" for it in held for problem in _payload(session, it.sha256)]
    card, cards = content["rate_card"] or {"id": None, "versions": ()}, list[RateCard]()
    for version in card["versions"]:
        try:
            cards.append(rate_cards.get(session, card["id"], version))
        except NotFound as error:
            problems.append(f"{name} cannot be priced again: {error.message}")
    if problems:
        return problems

    reconciliation = _made_again(session, content, held, report.created_at)
    again = made.build(reconciliation, priced(reconciliation, card["id"], cards))
    if again != core:
        other: dict[str, Any] = msgspec.json.decode(again)
        wrong = ", ".join(sorted(key for key in content if other[key] != content[key]))
        return [f"{name} says something else than what its observations give, in {wrong}."]

    days = content["period"]["aligned"]
    listed = (report.project_id, str(report.first_day), str(report.last_day), report.verdict)
    if listed != (content["project_id"], days["first_day"], days["last_day"], content["verdict"]):
        return [f"{name} is listed with another project, period or verdict than its own."]
    return []


def _made_again(session: Session, content: dict[str, Any], held: Sequence[Observation], as_of: datetime) -> Reconciliation:
    """What these observations give on the terms that the report states."""
    tolerance = Tolerance(parse_minutes(content["tolerance"]["minutes"]), Decimal(content["tolerance"]["relative"]))
    plan = TierPlan.of(content["tier_plan"])
    terms = ProjectTerms(content["project_id"], Basis(content["basis"]), content["cross_check"], plan, tolerance)
    found = balance(resolve(content["period"]["requested"]), terms, gather(session, held, as_of))
    return after_invoicing(found, stated(content["discrepancies"], content["project_id"]))
