"""Whatever happens to a process that delivers, nothing is lost, and what is made twice goes on once."""

from datetime import timedelta

import pytest

from app.auth import Vault
from app.db import transaction
from app.flows import deliver
from app.store.tables import Job
from app.webhooks.sender import Answer
from tests.app.webhooks.conftest import BAD, OK, Office, Wire

DAY = timedelta(days=1)


def test_an_attempt_whose_process_dies_is_made_again_and_both_are_kept(office: Office) -> None:
    class Dying(Wire):
        def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
            super().post(url, headers, body)
            raise SystemExit

    office.endpoint()
    office.tell()
    office.wire = dying = Dying()
    with pytest.raises(SystemExit):
        office.work()
    (delivery,) = office.deliveries()
    assert delivery.state == "pending"
    assert "interrupted" in office.attempts(delivery.id)[0].error
    office.wire = Wire()
    office.work()
    first, second = office.attempts(delivery.id)
    assert (first.status, second.status) == (None, 200)
    assert dying.sent[0][1]["webhook-id"] == office.wire.sent[0][1]["webhook-id"]


class Overtaken(Wire):
    """While the first call waits for its answer, somebody takes the process for dead and makes the attempt too; that fails."""

    def __init__(self, office: Office, job: Job, first: Answer) -> None:
        super().__init__()
        self._again = lambda: office.attempt(**job.arguments)
        self._first = first

    def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        self.sent.append((url, headers, body))
        if len(self.sent) > 1:
            return BAD
        self._again()
        return self._first


def test_an_attempt_that_is_made_twice_at_once_goes_on_once(office: Office) -> None:
    office.endpoint()
    office.tell()
    (job,) = office.jobs()

    office.wire = Overtaken(office, job, BAD)
    office.attempt(**job.arguments)
    office.end(job)
    (delivery,) = office.deliveries()
    assert len(office.wire.sent) == 2
    assert (delivery.turn, delivery.tries) == (2, 1)
    assert [it.arguments["turn"] for it in office.jobs()] == [2]
    office.attempt(**job.arguments)  # comes late
    assert len(office.wire.sent) == 2


def test_what_either_of_two_attempts_at_once_hands_over_is_delivered(office: Office) -> None:
    office.endpoint()
    office.tell()
    (job,) = office.jobs()

    office.wire = Overtaken(office, job, OK)
    office.attempt(**job.arguments)
    office.end(job)
    office.days(1)
    assert office.states() == ["delivered"]
    assert len(office.wire.sent) == 2


def test_one_job_makes_what_is_due_at_its_endpoint_as_long_as_it_is_taken(office: Office) -> None:
    office.endpoint()
    for number in range(5):
        office.tell(f"dsc_{number}", discrepancy_id=f"dsc_{number}")
    first, *others = office.jobs()
    office.wire.answers = [OK, OK, BAD, OK]
    assert office.courier.round(**first.arguments, stopping=lambda: False).taken
    assert office.states() == ["delivered", "delivered", "pending", "pending", "pending"]
    assert len(office.wire.sent) == 3, "it is left alone after the first that it did not take"
    second = others[0]
    assert not office.courier.round(**second.arguments, stopping=lambda: True).made
    assert len(office.wire.sent) == 3, "a process that ends makes no more"
    office.courier.round(**second.arguments, stopping=lambda: False)
    assert office.states() == ["delivered", "delivered", "pending", "delivered", "delivered"]
    assert len(office.wire.sent) == 5
    office.days(1)
    assert office.states() == ["delivered"] * 5
    assert len(office.wire.sent) == 6


def test_a_delivery_that_lost_its_job_gets_another(office: Office) -> None:
    office.endpoint()
    office.tell()
    (job,) = office.jobs()
    with transaction(office.engine) as session:
        session.get_one(Job, job.id).state = "failed"

    def tidy() -> None:
        with transaction(office.engine) as session:
            deliver.tidy(session, office.clock.at)

    tidy()
    assert office.jobs() == []
    office.clock.at += 2 * deliver.OVERDUE
    tidy()
    tidy()
    assert len(office.jobs()) == 1
    office.work()
    assert office.states() == ["delivered"]


def test_what_ended_long_ago_is_forgotten_and_what_is_pending_is_not(office: Office) -> None:
    office.endpoint(types=["discrepancy.opened"])
    office.tell("dsc_1", discrepancy_id="dsc_1")
    office.work()
    office.tell("dsc_2", discrepancy_id="dsc_2")
    office.clock.at += deliver.KEPT + DAY
    office.tell("dsc_3", discrepancy_id="dsc_3")
    with transaction(office.engine) as session:
        deliver.tidy(session, office.clock.at)
    assert [it.subject for it in office.events()] == ["dsc_2", "dsc_3"]
    office.work()
    assert office.states() == ["delivered", "delivered"]


def test_a_secret_that_cannot_be_read_is_a_failed_attempt_that_says_so(office: Office) -> None:
    office.endpoint()
    office.tell()
    office.vault = Vault("another secret of the tests")
    office.work()
    (delivery,) = office.deliveries()
    assert "RECKONER_SECRET_KEY" in office.attempts(delivery.id)[0].error
    assert office.wire.sent == []
    assert len(office.jobs()) == 1
