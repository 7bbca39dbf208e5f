"""Where it is asked for, each subject is told of in order, whatever fails and whatever is asked for again."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db import transaction
from app.flows import deliver
from app.webhooks.sender import Answer
from tests.app.webhooks.conftest import BAD, OK, Office, Wire


def test_what_is_asked_for_again_keeps_its_place_before_what_came_later(office: Office) -> None:
    office.endpoint(ordered=True)
    office.tell("dsc_a", summary="first")
    office.work()
    office.wire.answers = [BAD, OK]
    office.tell("dsc_a", summary="second")
    office.work()
    with transaction(office.engine) as session:
        deliver.redeliver(session, office.deliveries()[0].id, now=office.clock.at)
    office.wire = Wire([BAD, OK])
    office.tell("dsc_a", summary="third")
    office.days(1)
    told = [json.loads(body)["data"]["summary"] for _, _, body in office.wire.sent]
    assert told == ["first", "first", "second", "third"]
    assert office.states() == ["delivered"] * 3


def test_order_is_kept_for_each_subject_where_it_is_asked_for(office: Office) -> None:
    office.endpoint(ordered=True)
    office.wire.answers = [BAD, OK]
    for summary in ("first", "second", "third"):
        office.tell("dsc_a", summary=summary)
        office.tell("dsc_b", summary=summary)
    office.days(1)
    told = [json.loads(body)["data"]["summary"] for _, _, body in office.wire.sent]
    assert told[0] == "first"  # it failed, and its subject waits; the other subject's go on
    assert told[1:4] == ["first", "second", "third"]
    assert told[4:] == ["first", "second", "third"]
    assert office.states() == ["delivered"] * 6


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(subjects=st.lists(st.sampled_from("ab"), min_size=1, max_size=6), bad=st.lists(st.booleans(), max_size=10))
def test_whatever_fails_nothing_is_lost_and_the_order_stays(office: Office, subjects: list[str], bad: list[bool]) -> None:
    endpoint_id, _ = office.endpoint(ordered=True)
    office.wire = Wire([BAD if it else OK for it in bad] + [OK])
    for number, subject in enumerate(subjects):
        office.tell(subject, summary=str(number), changed_at=endpoint_id)
    office.days(4)
    assert office.states(endpoint_id) == ["delivered"] * len(subjects)
    taken: dict[str, list[int]] = {"a": [], "b": []}
    answers = [not it for it in bad] + [True] * len(office.wire.sent)
    for (_, _, body), good in zip(office.wire.sent, answers, strict=False):
        number = int(json.loads(body)["data"]["summary"])
        if good:
            taken[subjects[number]].append(number)
    assert all(numbers == sorted(numbers) for numbers in taken.values())
    office.change(endpoint_id, enabled=False)


def test_what_waits_for_its_turn_is_called_up_when_order_no_longer_counts(office: Office) -> None:
    endpoint_id, _ = office.endpoint(ordered=True)
    office.wire.answers = [BAD, OK]
    for summary in ("first", "second"):
        office.tell("dsc_a", summary=summary)
    office.work()
    assert len(office.wire.sent) == 1
    office.change(endpoint_id, ordered=False)
    office.work()
    assert office.states() == ["pending", "delivered"]


def test_a_subject_goes_on_after_what_is_given_up(office: Office) -> None:
    office.endpoint(ordered=True)
    other, _ = office.endpoint("https://other.example/", ordered=True)

    class Picky(Wire):
        def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
            self.sent.append((url, headers, body))
            return BAD if b"poison" in body else OK

    office.wire = Picky()
    office.tell("dsc_a", summary="poison")
    office.tell("dsc_a", summary="after")
    for day in range(8):  # somebody else keeps the endpoint alive
        office.tell("dsc_b", summary=str(day))
        office.days(1)
    assert office.states(other) == ["failed"] + ["delivered"] * 9
