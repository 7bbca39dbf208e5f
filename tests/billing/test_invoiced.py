"""What was restated after an invoice weighs more; everything else stays as it was."""

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.discrepancy import Code, Discrepancy, Severity
from billing.facts import Kind, Observation
from billing.invoiced import Invoiced, after_invoicing, stated
from billing.model import Reconciliation
from billing.period import BillingPeriod
from billing.reconcile import reconcile
from billing.report import build, finding
from tests.billing.test_bridge import ALIGNED, PERIOD, evidence
from tests.billing.world import TERMS, observation

BARE = reconcile(ALIGNED, TERMS, evidence([]))
DAYS = [PERIOD.first_day - timedelta(days=1), *PERIOD.days]
kinds = st.sampled_from([Kind.DAILY_USAGE, Kind.MEETINGS])
readings = st.dictionaries(st.tuples(kinds, st.sampled_from(DAYS)), st.sampled_from("ab"))
periods = st.sampled_from(PERIOD.days).map(lambda day: BillingPeriod(day, day)) | st.just(PERIOD)
invoices = st.lists(st.tuples(periods, readings), max_size=5).map(
    lambda drawn: [Invoiced(f"inv_{place}", f"A-{place}", period, held) for place, (period, held) in enumerate(drawn)]
)
codes = st.sampled_from([Code.RESTATED, Code.RESTATED, Code.RESIDUAL])
of_days = st.builds(lambda code, day: Discrepancy(code, {}, "Changed.", days=(day,)), codes, st.sampled_from(PERIOD.days))
of_sessions = st.builds(
    lambda code, day: Discrepancy(code, {}, "Changed.", sessions=("s",), evidence={"windows": [str(day)]}),
    codes,
    st.sampled_from(DAYS),
)


def reconciled(found: list[Discrepancy], latest: dict[tuple[Kind, date], str]) -> Reconciliation:
    seen: list[Observation] = [replace(observation(kind, day, 72), sha256=it) for (kind, day), it in latest.items()]
    return replace(BARE, discrepancies=found, observations=seen)


@given(st.lists(of_days | of_sessions, max_size=4, unique_by=lambda it: it.fingerprint("100")), readings, invoices)
def test_what_the_findings_state_is_enough_to_weigh_them_again(
    found: list[Discrepancy], latest: dict[tuple[Kind, date], str], known: list[Invoiced]
) -> None:
    before = reconciled(found, latest)
    after = after_invoicing(before, lambda _: known)
    facts = stated([finding(it, "100", None) for it in after.discrepancies], "100")
    assert build(after_invoicing(before, facts)) == build(after)


@given(of_days, readings, invoices)
def test_a_restated_day_is_of_high_severity_where_an_invoice_says_something_else(
    found: Discrepancy, latest: dict[tuple[Kind, date], str], known: list[Invoiced]
) -> None:
    (day,), (after,) = found.days, after_invoicing(reconciled([found], latest), lambda _: known).discrepancies
    about = (Kind.DAILY_USAGE, day)
    others = [
        it.number for it in known if (day in it.period or about in it.readings) and it.readings.get(about) != latest.get(about)
    ]
    if found.code is Code.RESTATED and others:
        assert after.severity is Severity.HIGH
        assert [it["number"] for it in after.evidence["invoices"]] == others
        assert after.summary.startswith("Changed. It was invoiced before, with A-")
    else:
        assert after == found
    assert after.fingerprint("100") == found.fingerprint("100"), "it stays the same discrepancy"


def test_a_sentence_names_a_few_invoices() -> None:
    found = Discrepancy(Code.RESTATED, {}, "Changed.", days=(PERIOD.first_day,))
    known = [Invoiced(f"inv_{place}", f"A-{place}", PERIOD, {}) for place in range(5)]
    (after,) = after_invoicing(reconciled([found], {(Kind.DAILY_USAGE, PERIOD.first_day): "a"}), lambda _: known).discrepancies
    assert after.summary == "Changed. It was invoiced before, with A-0, A-1, A-2 and 2 more."
