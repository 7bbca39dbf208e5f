"""What happened is told at least once, over days, in order where asked, and every attempt is kept."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import pytz
from sqlalchemy.engine import Engine
from standardwebhooks import Webhook, WebhookVerificationError

from app.db import transaction
from app.errors import Conflict, InvalidRequest, NotFound
from app.flows import deliver
from app.flows.deliver import Courier
from app.store import audit, webhooks
from app.webhooks import signing
from app.webhooks.events import EventType
from app.webhooks.schedule import DELAYS
from app.webhooks.sender import Answer, Sender
from tests.app.conftest import NOW
from tests.app.webhooks.conftest import BAD, OK, Office, Wire
from tests.app.webhooks.receiver import Call, answering, receiving

DAY = timedelta(days=1)
PACIFIC = pytz.timezone("America/Los_Angeles")


def test_a_body_is_small_says_what_happened_and_leads_to_it(office: Office) -> None:
    office.endpoint()
    office.tell("dsc_7", discrepancy_id="dsc_7")
    assert office.work() == 1
    ((url, headers, body),) = office.wire.sent
    said = json.loads(body)
    assert url == "https://hooks.example/"
    assert said.keys() == {"type", "timestamp", "version", "data"}
    assert (said["type"], said["version"], said["timestamp"]) == ("discrepancy.opened", 1, "2026-11-03T12:00:00Z")
    assert said["data"]["url"] == "https://reckoner.example/v1/discrepancies/dsc_7"
    assert headers["webhook-id"] == office.events()[0].id
    assert office.states() == ["delivered"]


def test_the_official_library_verifies_it_and_no_other(engine: Engine) -> None:
    office = Office(engine)
    office.clock.at = datetime.now(UTC)  # the library knows only the present
    _, secret = office.endpoint()
    office.tell()
    office.work()
    ((_, headers, body),) = office.wire.sent
    assert Webhook(secret).verify(body, headers) == json.loads(body)
    for wrong_headers, wrong_body in (
        (headers | {"webhook-id": "evt_other"}, body),
        (headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}, body),
        (headers, body + b" "),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(wrong_body, wrong_headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(body, headers)


def test_the_time_is_signed_in_utc_whatever_zone_it_comes_in() -> None:
    secret, now = signing.new_secret(), datetime.now(UTC)
    pacific = now.astimezone(PACIFIC)
    assert signing.headers([secret], "evt_1", pacific, b"{}") == signing.headers([secret], "evt_1", now, b"{}")
    assert Webhook(secret).verify(b"{}", signing.headers([secret], "evt_1", pacific, b"{}")) == {}


def test_after_a_rotation_both_secrets_count_for_a_day(office: Office) -> None:
    endpoint_id, old = office.endpoint()
    new = signing.new_secret()
    with transaction(office.engine) as session:
        webhooks.rotate(session, office.vault, endpoint_id, new, actor="Ada (1)", now=office.clock.at)

    def counting() -> list[str]:
        with transaction(office.engine, read_only=True) as session:
            return webhooks.secrets(office.vault, webhooks.get(session, endpoint_id), office.clock.at)

    assert counting() == [new, old]
    office.tell()
    office.work()
    assert len(office.wire.sent[0][1]["webhook-signature"].split(" ")) == 2
    office.clock.at += DAY - timedelta(microseconds=1)
    assert counting() == [new, old]
    office.clock.at += timedelta(microseconds=1)
    assert counting() == [new]


def test_many_rotations_leave_the_last_three(office: Office) -> None:
    endpoint_id, _ = office.endpoint()
    made = [signing.new_secret() for _ in range(5)]
    with transaction(office.engine) as session:
        for secret in made:
            endpoint = webhooks.rotate(session, office.vault, endpoint_id, secret, actor="Ada (1)", now=NOW)
        assert webhooks.secrets(office.vault, endpoint, NOW) == made[:1:-1]
        assert not any(secret in str(endpoint.secrets) for secret in made)


def test_it_is_tried_over_days_until_it_is_taken(office: Office) -> None:
    office.endpoint()
    office.wire.answers = [BAD] * 7 + [OK]
    office.tell()
    assert office.days(5) == 8
    (delivery,) = office.deliveries()
    made = office.attempts(delivery.id)
    assert [it.number for it in made] == list(range(1, 9))
    gaps = [(after.at - before.at).total_seconds() for before, after in pairwise(made)]
    assert gaps == list(DELAYS[:7])
    assert [(it.status, it.milliseconds, it.answer) for it in made] == [(500, 4, "no")] * 7 + [(200, 3, "ok")]
    assert delivery.state == "delivered"
    assert {headers["webhook-id"] for _, headers, _ in office.wire.sent} == {office.events()[0].id}
    assert len({body for _, _, body in office.wire.sent}) == 1
    assert office.see_endpoint(delivery.endpoint_id).failing_since is None


def test_chance_decides_how_long_each_wait_is(office: Office) -> None:
    office.endpoint()
    office.wire.answers = [BAD]
    office.tell()
    (job,) = office.jobs()
    drawn = replace(office.courier, draw=lambda: 1.0).attempt(**job.arguments)
    assert drawn.following == NOW + timedelta(seconds=DELAYS[0] * 1.2)
    by_itself = Courier(office.engine, office.vault, office.wire, office.clock, "")
    assert len({by_itself.draw() for _ in range(9)}) == 9


def test_retry_after_is_kept_to(office: Office) -> None:
    office.endpoint()
    office.wire.answers = [Answer(1, 429, retry_after="3600"), OK]
    office.tell()
    assert office.work(NOW + timedelta(minutes=59)) == 1
    assert office.work(NOW + timedelta(minutes=60)) == 1
    assert office.states() == ["delivered"]


def test_a_receiver_that_is_gone_is_left_alone_and_the_others_are_told(office: Office) -> None:
    gone, _ = office.endpoint()
    other, _ = office.endpoint("https://other.example/", types=["endpoint.disabled"])
    office.wire.answers = [Answer(1, 410), OK]
    office.tell("dsc_1")
    office.tell("dsc_2")
    office.work()
    endpoint = office.see_endpoint(gone)
    assert (endpoint.enabled, endpoint.reason) == (False, "It answered 410: it is gone.")
    assert [url for url, _, _ in office.wire.sent] == ["https://hooks.example/", "https://other.example/"]
    said = json.loads(office.wire.sent[1][2])
    assert (said["type"], said["data"]["endpoint_id"]) == ("endpoint.disabled", gone)
    assert office.states(gone) == ["failed", "failed"]
    assert office.states(other) == ["delivered"]
    with transaction(office.engine, read_only=True) as session:
        assert "webhook_endpoint.disabled" in {it.action for it in audit.list_page(session, limit=9).items}


def test_an_endpoint_that_fails_for_five_days_is_disabled(office: Office) -> None:
    failing, _ = office.endpoint()
    office.wire.answers = [Answer(15000, error="There was no answer within 15 seconds.")]
    office.tell()
    office.days(4.9)
    assert office.see_endpoint(failing).enabled
    assert office.see_endpoint(failing).failing_since == NOW
    office.days(1)
    endpoint = office.see_endpoint(failing)
    assert (endpoint.enabled, endpoint.reason) == (False, "Every attempt since 2026-11-03T12:00:00Z failed, for 5 days.")
    assert office.states() == ["failed"]
    assert office.jobs() == []
    office.tell("dsc_later")
    assert office.states() == ["failed"], "nothing is sent to it any more, and nobody else was there to be told"


def test_one_event_that_is_never_taken_does_not_stop_the_others(office: Office) -> None:
    endpoint_id, _ = office.endpoint(types=["discrepancy.opened"])
    refused = "dsc_poison"

    class Picky(Wire):
        def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
            return BAD if refused.encode() in body else OK

    office.wire = Picky()
    office.tell(refused, discrepancy_id=refused)
    for day in range(8):
        office.tell(f"dsc_{day}", discrepancy_id=f"dsc_{day}")
        office.days(1)
    assert office.states(endpoint_id) == ["failed"] + ["delivered"] * 8
    assert office.see_endpoint(endpoint_id).enabled
    assert len(office.attempts(office.deliveries()[0].id)) == len(DELAYS) + 1


def test_one_that_was_disabled_gets_what_it_missed_when_it_asks(office: Office) -> None:
    endpoint_id, _ = office.endpoint(projects=["100"])
    office.wire.answers = [OK, Answer(1, 410), OK]
    for subject in ("dsc_1", "dsc_2", "dsc_3"):
        office.tell(subject, discrepancy_id=subject)
    office.tell("dsc_not_mine", project_id="200")
    office.work()
    office.tell("dsc_4", discrepancy_id="dsc_4")
    assert office.states() == ["delivered", "failed", "failed"]

    def again(since: datetime = NOW, until: datetime | None = None) -> int:
        with transaction(office.engine) as session:
            return deliver.redeliver_since(session, endpoint_id, since, until, now=office.clock.at)

    with pytest.raises(Conflict, match="not enabled"):
        again()
    office.change(endpoint_id, enabled=True)
    office.clock.at += DAY
    assert again(NOW + timedelta(seconds=1)) == 0
    with pytest.raises(InvalidRequest) as refused:
        again(NOW, NOW)
    assert refused.value.pointer == "/until"
    assert again() == 4
    assert again() == 0, "what is still tried stays as it is"
    office.work()
    assert office.states() == ["delivered"] * 4
    assert len({headers["webhook-id"] for _, headers, _ in office.wire.sent}) == 4


def test_too_much_at_once_is_refused_with_how_far_it_could_go(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "AT_ONCE", 2)
    endpoint_id, _ = office.endpoint()
    for subject in ("dsc_1", "dsc_2", "dsc_3"):
        office.tell(subject, discrepancy_id=subject)
        office.clock.at += DAY
    with transaction(office.engine) as session:
        with pytest.raises(InvalidRequest, match="More than 2") as refused:
            deliver.redeliver_since(session, endpoint_id, NOW, now=office.clock.at)
        assert "2026-11-05T12:00:00Z" in refused.value.expected
    with transaction(office.engine) as session:
        assert deliver.redeliver_since(session, endpoint_id, NOW, NOW + 2 * DAY, now=office.clock.at) == 0  # all still tried


def test_one_delivery_can_be_asked_for_again(office: Office) -> None:
    office.endpoint()
    office.tell()
    office.work()
    (delivery,) = office.deliveries()
    with transaction(office.engine) as session:
        deliver.redeliver(session, delivery.id, now=office.clock.at)
    assert office.states() == ["pending"]
    assert office.work() == 1
    assert office.states() == ["delivered"]
    assert [it.number for it in office.attempts(delivery.id)] == [1, 2]
    with transaction(office.engine) as session, pytest.raises(NotFound):
        deliver.redeliver(session, "dlv_unknown", now=office.clock.at)


def test_who_has_another_address_begins_anew_and_is_not_judged_by_the_old_one(office: Office) -> None:
    endpoint_id, _ = office.endpoint()

    class Moving(Wire):
        def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
            office.change(endpoint_id, url="https://new.example/")
            return super().post(url, headers, body)

    office.wire.answers = [BAD]
    office.tell()
    office.days(4.9)
    assert office.see_endpoint(endpoint_id).failing_since == NOW
    office.wire = Moving([Answer(1, 410)])
    office.tell("dsc_2")
    office.work()
    endpoint = office.see_endpoint(endpoint_id)
    assert (endpoint.enabled, endpoint.failing_since) == (True, None)
    office.wire = Wire()
    office.days(1)
    assert {url for url, _, _ in office.wire.sent} == {"https://new.example/"}
    assert office.states() == ["delivered", "delivered"]


def test_what_was_given_up_and_is_asked_for_again_is_tried_over_days_again(office: Office) -> None:
    office.endpoint(types=["discrepancy.opened"])

    class Picky(Wire):
        def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
            return BAD if b"poison" in body else OK

    def days() -> None:
        for _ in range(8):  # somebody else keeps the endpoint alive
            office.tell("dsc_b", summary=str(office.clock.at))
            office.days(1)

    office.wire = Picky()
    office.tell("dsc_a", summary="poison")
    days()
    given_up = office.deliveries()[0]
    assert given_up.state == "failed"
    with transaction(office.engine) as session:
        deliver.redeliver(session, given_up.id, now=office.clock.at)
    days()
    assert office.deliveries()[0].state == "failed"
    assert len(office.attempts(given_up.id)) == 2 * (len(DELAYS) + 1)


def test_a_test_of_one_endpoint_is_nothing_that_another_missed(office: Office) -> None:
    tried, _ = office.endpoint()
    other, _ = office.endpoint("https://other.example/")
    with transaction(office.engine) as session:
        deliver.send_test(session, tried, now=office.clock.at)
    with transaction(office.engine) as session:
        assert [deliver.redeliver_since(session, it, NOW, now=office.clock.at) for it in (tried, other)] == [0, 0]


# People


def test_a_test_is_one_attempt_whatever_the_endpoint_chose_and_changes_nothing(office: Office) -> None:
    endpoint_id, _ = office.endpoint(types=["invoice.finalized"], ordered=True)
    office.change(endpoint_id, enabled=False)
    for answer, state in ((BAD, "failed"), (Answer(1, 410), "failed"), (OK, "delivered")):
        office.wire.answers = [answer]
        with transaction(office.engine) as session:
            made = deliver.send_test(session, endpoint_id, now=office.clock.at)
        assert office.attempt(made.id, made.turn).following is None
        with transaction(office.engine, read_only=True) as session:
            assert webhooks.delivery(session, made.id)[1].state == state
    assert json.loads(office.wire.sent[0][2])["type"] == "endpoint.test"
    endpoint = office.see_endpoint(endpoint_id)
    assert (endpoint.enabled, endpoint.failing_since) == (False, None)
    assert office.jobs() == []


def test_a_test_waits_for_no_other(office: Office) -> None:
    endpoint_id, _ = office.endpoint(ordered=True)
    with transaction(office.engine) as session:
        _, second = (deliver.send_test(session, endpoint_id, now=office.clock.at) for _ in range(2))
    assert office.attempt(second.id, second.turn).taken, "the process of the first may have died"


def test_what_was_taken_is_delivered_though_it_was_given_up_meanwhile(office: Office) -> None:
    endpoint_id, _ = office.endpoint()

    class Disabling(Wire):
        def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
            office.change(endpoint_id, enabled=False)
            return OK

    office.wire = Disabling()
    office.tell()
    office.work()
    assert office.states() == ["delivered"]


def test_who_is_deleted_is_sent_nothing_and_forgets_its_secret(office: Office) -> None:
    endpoint_id, _ = office.endpoint()
    office.tell()
    with transaction(office.engine) as session:
        webhooks.remove(session, endpoint_id, actor="Ada (1)", now=office.clock.at)
    office.tell("dsc_2")
    office.work()
    assert office.wire.sent == []
    assert office.states() == ["failed"]
    assert office.see_endpoint(endpoint_id).secrets == []
    with transaction(office.engine) as session, pytest.raises(NotFound):
        webhooks.get(session, endpoint_id)


def test_disabling_gives_up_and_enabling_begins_anew(office: Office) -> None:
    endpoint_id, _ = office.endpoint()
    office.wire.answers = [BAD, OK]
    office.tell()
    office.work()
    office.change(endpoint_id, enabled=False)
    assert office.see_endpoint(endpoint_id).reason == "Ada (1) disabled it."
    assert office.states() == ["failed"], "at once, not when its next attempt would have been"
    assert office.days(2) == 1  # its job finds nothing to do
    assert len(office.wire.sent) == 1
    office.change(endpoint_id, enabled=True)
    endpoint = office.see_endpoint(endpoint_id)
    assert (endpoint.reason, endpoint.failing_since) == ("", None)


# All of it over real sockets


def test_a_receiver_that_misbehaves_in_every_way_gets_everything_in_the_end(office: Office) -> None:
    inner_calls = []

    with receiving(lambda call: inner_calls.append(call)) as inner:
        moods = [
            answering(500),
            answering(302, Location=inner.url),
            answering(429, Retry_After="60"),
            lambda call: call.stopping.wait(1),
            lambda call: call.drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
            lambda call: None,
            lambda call: call.say("nonsense\r\n\r\n"),
        ]
        seen: list[str] = []

        def behave(call: Call) -> None:
            if moods:
                moods.pop(0)(call)
            else:
                seen.append(call.headers["webhook-id"])
                call.answer(204)

        with receiving(behave) as receiver:
            office.wire = Sender(development=True, seconds=0.3)
            office.endpoint(receiver.url, ordered=True)
            for number in range(3):
                office.tell("dsc_a", summary=str(number))
            office.days(4)
    assert office.states() == ["delivered"] * 3
    assert seen == [event.id for event in office.events()]
    assert inner_calls == []
    made = office.attempts(office.deliveries()[0].id)
    assert [it.status for it in made] == [500, 302, 429, None, None, None, None, 204]
    assert all(it.error or it.status in (500, 429, 204) for it in made)


def test_one_type_tells_of_the_other_endpoints_only(office: Office) -> None:
    office.endpoint(types=[EventType.ENDPOINT_DISABLED])
    office.wire.answers = [Answer(1, 410)]
    office.tell("we_x", EventType.ENDPOINT_DISABLED, endpoint_id="we_x")
    office.work()
    assert len(office.events()) == 1, "nobody is left to be told"
