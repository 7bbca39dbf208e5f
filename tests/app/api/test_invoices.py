"""Invoices over REST: their life, what each step refuses, and the files that are made of them."""

import io
import zipfile
from hashlib import sha256
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from billing.exports.formats import InvoiceFormat
from tests.app.api.desk import PERIOD, Desk, open_desk
from tests.app.flows.books import WORKED

DROPPED = {"kind": "project_day_dropped", "project_id": "100", "day": "2026-10-31"}
"""A day that the vendor leaves out of its usage: the report is incomplete."""
RESTATED = {"kind": "restated", "project_id": "100", "day": "2026-10-31", "tier": "from1To2Publishers"}
RESTATED |= {"minutes": 100, "at": "2026-11-07T00:00:00Z"}
"""A day to which the vendor adds 100 minutes after it was final."""
WHY = "Agreed with the customer."


@pytest.fixture
def desk(client: TestClient) -> Desk:
    return open_desk(client)


def refused(response: Response, status: int, words: str = "", **place: str) -> None:
    """Assert a problem whose sentence has these words, about a field."""
    assert response.status_code == status, response.text
    body = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert words in body["detail"]
    if place:
        assert place.items() <= body["errors"][0].items(), body


class TestLife:
    """On both databases."""

    @pytest.fixture
    def address(self, database_url: str) -> str:
        return database_url

    def test_from_draft_to_credited(self, desk: Desk) -> None:
        made = desk.draft(notes="Thank you.")
        draft = made.json()
        assert (made.status_code, made.headers["location"], made.headers["etag"]) == (201, f"/v1/invoices/{draft['id']}", '"1"')
        assert (draft["status"], draft["number"], draft["version"], draft["notes"]) == ("draft", None, 1, "Thank you.")
        assert (draft["subtotal"], draft["tax"], draft["total"], draft["currency"]) == ("2.85", "0.54", "3.39", "EUR")
        assert draft["customer"]["name"] == "Ada SARL"
        approved = desk.step(draft, "approve")
        assert (approved["status"], approved["version"]) == ("approved", 2)
        final = desk.step(approved, "finalize")
        assert (final["status"], final["number"], final["issued_on"]) == ("finalized", "ACME-2026-00001", "2026-11-05")
        assert desk.get(draft) == final

        half = desk.step(final, "credit-notes", lines=[{"position": 1, "amount": "1.00"}], reason=WHY)
        assert (half["kind"], half["total"], half["corrects"]["number"]) == ("credit_note", "1.19", "ACME-2026-00001")
        assert desk.issue(half)["number"] == "ACME-2026-00002"
        rest = desk.issue(desk.step(final, "credit-notes", all=True, reason=WHY))
        assert (rest["total"], rest["number"]) == ("2.20", "ACME-2026-00003")
        assert (desk.get(final)["status"], desk.get(final)["sha256"]) == ("credited", final["sha256"])

        log = desk.client.get("/v1/audit-log", params={"subject": final["id"]}).json()["items"]
        assert [it["action"] for it in log] == [f"invoice.{it}" for it in ("credited", "finalized", "approved", "drafted")]

    def test_the_list_is_filtered_and_goes_by_cursor(self, desk: Desk) -> None:
        final = desk.issue(desk.draft().json())
        note = desk.step(final, "credit-notes", all=True, reason=WHY)

        def found(**query: Any) -> list[str]:
            response = desk.client.get("/v1/invoices", params=query)
            assert response.is_success, response.text
            return [it["id"] for it in response.json()["items"]]

        assert found() == found(customer_id=desk.customer["id"]) == [note["id"], final["id"]]
        assert found(customer_id="cus_unknown") == []
        assert found(status="draft") == found(kind="credit_note") == [note["id"]]
        assert found(status="finalized") == found(kind="invoice") == [final["id"]]
        assert found(period="2026-11") == found(period="2026-10-31..2026-11-01") == [note["id"], final["id"]]
        assert found(period="2026-09") == []
        page = desk.client.get("/v1/invoices", params={"limit": 1}).json()
        assert found(limit=1, cursor=page["next_cursor"]) == [final["id"]]
        summary = desk.client.get("/v1/invoices", params={"kind": "invoice"}).json()["items"][0]
        same = {
            "id",
            "number",
            "status",
            "version",
            "customer_id",
            "currency",
            "total",
            "issued_on",
            "due_on",
            "sha256",
            "kind",
        }
        assert {key: summary[key] for key in same} == {key: final[key] for key in same}
        assert (summary["first_day"], summary["last_day"]) == ("2026-10-31", "2026-11-01")
        assert summary["created_by"] == summary["approved_by"]

    def test_a_restated_report_makes_a_note_of_the_difference(self, client: TestClient) -> None:
        desk = open_desk(client, RESTATED)
        final = desk.issue(desk.draft().json())
        body = {"version": final["version"]}
        same = desk.post(f"/{final['id']}/restate", body, **{"Idempotency-Key": "same"})
        assert (same.status_code, same.content) == (204, b"")
        desk.office.at("2026-11-08T20:00:00Z")
        desk.office.collect(WORKED)
        report = desk.office.reconcile(WORKED)
        note = desk.step(final, "restate")
        assert (note["kind"], note["status"], note["subtotal"], note["total"]) == ("debit_note", "draft", "1.00", "1.19")
        assert (note["report_ids"], note["corrects"]["id"], note["restatement"]) == ([report.id], final["id"], True)


FORMS = {
    "month": {"cycle": "2026-10-31", "anchor_day": 31},
    "days": PERIOD,
    "instants": {"start": "2026-10-31T07:00:00Z", "end": "2026-11-02T08:00:00Z", "alignment": "strict"},
}


def test_a_period_is_given_in_any_form_of_the_contract(desk: Desk) -> None:
    draft = desk.draft().json()
    assert desk.draft(period=FORMS["instants"]).json() == draft, "the same again is the same draft"
    refused(desk.draft(period={"month": "2026-10"}), 409, "has the invoice")
    refused(desk.draft(period={"cycle": "2026-12-20", "anchor_day": 15}), 409, "no report of exactly 2026-12-15 to 2027-01-14")
    refused(desk.draft(period={"month": "2026-13"}), 422, "is no month", pointer="/period/month")
    refused(desk.draft(period={}), 422, pointer="/period")


def test_what_cannot_be_drafted_is_refused_by_its_pointer(desk: Desk) -> None:
    for wrong, pointer in (
        ({"customer_id": "../x"}, "/customer_id"),
        ({"customer_id": None}, "/customer_id"),
        ({"notes": "x" * 2001}, "/notes"),
        ({"notes": "a\u0000"}, "/notes"),
        ({"override": {}}, "/override/reason"),
        ({"override": {"reason": ""}}, "/override/reason"),
        ({"override": {"reason": "  "}}, "/override/reason"),
        ({"override": {"reason": "x" * 1001}}, "/override/reason"),
        ({"override": {"reason": WHY, "by": "me"}}, "/override/by"),
        ({"override": WHY}, "/override"),
        ({"number": "ACME-2026-00009"}, "/number"),
    ):
        refused(desk.draft(**wrong), 422, pointer=pointer)
    refused(desk.draft(customer_id="cus_unknown"), 404, "There is no customer cus_unknown.")
    assert desk.client.get("/v1/invoices").json()["items"] == []


def test_there_is_one_living_invoice_of_a_period(desk: Desk) -> None:
    draft = desk.draft().json()
    refused(desk.draft(notes="Another"), 409, f"has the invoice {draft['id']} of 2026-10-31 to 2026-11-01")
    desk.step(draft, "void", reason=WHY)
    assert desk.draft(notes="Another").json()["id"] != draft["id"]


def test_without_the_report_of_the_period_nothing_is_drafted(client: TestClient) -> None:
    desk = open_desk(client, reconciled=False)
    refused(desk.draft(), 409, "no report of exactly 2026-10-31 to 2026-11-01 for project 100: reconcile it first")


def test_a_verdict_that_forbids_it_is_overridden_with_a_reason_only(client: TestClient) -> None:
    desk = open_desk(client, DROPPED)
    refused(desk.draft(), 409, "of project 100 is incomplete", pointer="/override")
    draft = desk.draft(override={"reason": WHY}).json()
    assert draft["override"]["reason"] == WHY
    assert draft["override"]["by"].startswith("bootstrap (")
    refused(desk.post(f"/{draft['id']}/redraft", {"version": 1}), 409, "is incomplete", pointer="/override")
    again = desk.post(f"/{draft['id']}/redraft", {"version": 1, "override": {"reason": WHY}})
    assert again.json() == draft, "nothing is new"
    (entry,) = client.get("/v1/audit-log", params={"action": "invoice.overridden"}).json()["items"]
    assert (entry["subject"], entry["detail"]["reason"]) == (draft["id"], WHY)
    assert list(entry["detail"]["verdicts"].values()) == ["incomplete"]


def test_an_override_that_is_not_needed_does_not_stand_there(desk: Desk) -> None:
    assert desk.draft(override={"reason": WHY}).json()["override"] is None


def test_where_four_eyes_are_asked_for_another_key_approves(client: TestClient, key) -> None:
    desk = open_desk(client, four_eyes=True)
    maker, checker = key("invoice"), key("invoice")
    draft = desk.post("", {"customer_id": desk.customer["id"], "period": PERIOD}, **maker).json()
    path = f"/{draft['id']}/approve"
    refused(desk.post(path, {"version": 1}, **maker), 403, "asks for four eyes")
    assert desk.get(draft)["status"] == "draft"
    assert desk.post(path, {"version": 1}, **checker).json()["status"] == "approved"


STEPS = [("approve", {}), ("finalize", {}), ("void", {"reason": WHY}), ("redraft", {}), ("restate", {})]
STEPS += [("credit-notes", {"all": True, "reason": WHY})]


@pytest.mark.parametrize(("step", "body"), STEPS, ids=[step for step, _ in STEPS])
def test_a_step_is_for_the_version_that_was_read(desk: Desk, step: str, body: dict[str, Any]) -> None:
    invoice = desk.draft().json()
    if step == "finalize":
        invoice = desk.step(invoice, "approve")
    if step in ("credit-notes", "restate"):
        invoice = desk.issue(invoice)
    path, stale = f"/{invoice['id']}/{step}", invoice["version"] + 1
    refused(desk.post(path, body | {"version": stale}), 409, f"has version {invoice['version']}")
    refused(desk.post(path, body, **{"If-Match": f'"{stale}"'}), 412, f"has version {invoice['version']}")
    refused(desk.post(path, body), 422, "which version", pointer="/version")
    refused(desk.post(path, body | {"version": 1.5}), 422, pointer="/version")
    refused(desk.post(path, body, **{"If-Match": "*"}), 422, parameter="If-Match")
    assert desk.get(invoice) == invoice
    done = desk.post(path, body, **{"If-Match": f'"{invoice["version"]}"'})
    assert done.status_code == {"credit-notes": 201, "restate": 204}.get(step, 200), done.text
    if done.status_code == 200:
        assert done.headers["etag"] == f'"{done.json()["version"]}"'


def test_a_step_that_may_not_follow_is_refused(desk: Desk) -> None:
    invoice = desk.draft().json()

    def not_allowed(*steps: str) -> None:
        for step, body in STEPS:
            if step in steps:
                refused(desk.post(f"/{invoice['id']}/{step}", body | {"version": invoice["version"]}), 409)
        assert desk.get(invoice) == invoice

    not_allowed("finalize", "credit-notes", "restate")
    invoice = desk.step(invoice, "approve")
    not_allowed("approve", "credit-notes", "restate")
    invoice = desk.step(invoice, "finalize")
    not_allowed("approve", "finalize", "redraft")
    desk.step(invoice, "credit-notes", all=True, reason=WHY)
    not_allowed("void")


def test_what_is_void_stays_void(desk: Desk) -> None:
    void = desk.step(desk.issue(desk.draft().json()), "void", reason=WHY)
    assert (void["status"], void["number"]) == ("void", "ACME-2026-00001")
    for step, body in STEPS:
        refused(desk.post(f"/{void['id']}/{step}", body | {"version": void["version"]}), 409)
    refused(desk.post(f"/{void['id']}/void", {"version": void["version"]}), 422, pointer="/reason")


def test_no_more_is_credited_than_is_left(desk: Desk) -> None:
    final = desk.issue(desk.draft().json())
    path, version = f"/{final['id']}/credit-notes", {"version": final["version"], "reason": WHY}
    for lines, words, pointer in (
        ([{"position": 1, "amount": "2.11"}], "of which 2.10 are left", "/lines/0/amount"),
        ([{"position": 1, "amount": "-0.01"}], "of which 2.10 are left", "/lines/0/amount"),
        ([{"position": 1, "amount": "0.001"}], "of which 2.10 are left", "/lines/0/amount"),
        ([{"position": 2}, {"position": 9}], "no line 9", "/lines/1/position"),
        ([{"position": 2}, {"position": 2}], "named twice", "/lines/1/position"),
        ([{"position": 1, "amount": 1.5}], "decimal as text", "/lines/0/amount"),
        ([{"position": 1, "amount": "1e2"}], "decimal as text", "/lines/0/amount"),
        ([{"position": 1, "amount": "NaN"}], "decimal as text", "/lines/0/amount"),
        ([{"position": 0}], "greater than", "/lines/0/position"),
        ([{"amount": "1.00"}], "required", "/lines/0/position"),
        ([{"position": 1}] * 10_001, "10000", "/lines"),
    ):
        refused(desk.post(path, version | {"lines": lines}), 422, words, pointer=pointer)
    for neither in ({}, {"all": False}, {"lines": []}, {"all": True, "lines": [{"position": 1}]}):
        refused(desk.post(path, version | neither), 422, "either all", pointer="")
    refused(desk.post(path, version | {"commitment": "0.01"}), 422, "true-up", pointer="/commitment")
    refused(desk.post(path, {"version": final["version"], "all": True}), 422, pointer="/reason")
    first = desk.step(final, "credit-notes", lines=[{"position": 1}], reason=WHY)
    refused(desk.post(path, version | {"lines": [{"position": 1, "amount": "0.01"}]}), 422, "of which 0.00 are left")
    desk.step(first, "void", reason="A mistake.")
    assert desk.step(final, "credit-notes", all=True, reason=WHY)["total"] == final["total"]
    refused(desk.post(path, version | {"all": True}), 422, "credit nothing")


def test_a_note_is_not_credited_itself(desk: Desk) -> None:
    note = desk.issue(desk.step(desk.issue(desk.draft().json()), "credit-notes", lines=[{"position": 1}], reason=WHY))
    for step in ("credit-notes", "restate"):
        body = dict(STEPS)[step] | {"version": note["version"]}
        refused(desk.post(f"/{note['id']}/{step}", body), 409, "is a note")


def test_the_same_post_again_has_its_effect_once(desk: Desk) -> None:
    key = {"Idempotency-Key": "draft"}
    first, again = (desk.post("", {"customer_id": desk.customer["id"], "period": PERIOD}, **key) for _ in range(2))
    assert (first.content, first.headers["location"]) == (again.content, again.headers["location"])
    final = desk.issue(first.json())
    body = {"version": final["version"], "lines": [{"position": 1, "amount": "1.00"}], "reason": WHY}
    notes = [desk.post(f"/{final['id']}/credit-notes", body, **{"Idempotency-Key": "credit"}) for _ in range(2)]
    assert notes[0].json() == notes[1].json()
    assert notes[1].headers["idempotency-replayed"] == "true"
    assert len(desk.client.get("/v1/invoices", params={"kind": "credit_note"}).json()["items"]) == 1


def test_a_step_without_the_scope_is_refused(desk: Desk, key) -> None:
    draft = desk.draft().json()
    for scope in ("read", "reconcile"):
        for step, body in STEPS:
            refused(desk.post(f"/{draft['id']}/{step}", body | {"version": 1}, **key(scope)), 403, "'invoice'")
    assert desk.client.get(f"/v1/invoices/{draft['id']}", headers=key("read")).json() == draft
    assert desk.client.get(f"/v1/invoices/{draft['id']}", headers=key("invoice")).status_code == 403


BEGINS = {
    "json": ("application/json", b"{"),
    "csv": ("text/csv; charset=utf-8", b"invoice_id,"),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK"),
    "pdf": ("application/pdf", b"%PDF-"),
    "focus": ("text/csv; charset=utf-8", b""),
    "facturx": ("application/pdf", b"%PDF-"),
    "ubl": ("application/xml", b"<?xml"),
    "xml": ("application/xml", b"<?xml"),
}


def test_every_form_is_a_file_with_its_name_and_the_same_bytes_again(desk: Desk) -> None:
    final = desk.issue(desk.draft().json())
    assert BEGINS.keys() == set(InvoiceFormat)
    for form, (media_type, begin) in BEGINS.items():
        address = f"/v1/invoices/{final['id']}/document?format={form}"
        file = desk.client.get(address)
        assert file.status_code == 200, file.text
        assert (file.headers["content-type"], file.content[: len(begin)]) == (media_type, begin)
        assert file.headers["content-disposition"].startswith('attachment; filename="ACME-2026-00001.')
        assert file.headers["etag"] == f'"{sha256(file.content).hexdigest()}"'
        assert desk.client.get(address).content == file.content
        known = desk.client.get(address, headers={"If-None-Match": file.headers["etag"]})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", file.headers["etag"])
    assert desk.client.get(f"/v1/invoices/{final['id']}/document").json() == final
    refused(desk.client.get(f"/v1/invoices/{final['id']}/document?format=docx"), 422, parameter="format")


def test_a_workbook_is_one(desk: Desk) -> None:
    draft = desk.draft().json()
    file = desk.client.get(f"/v1/invoices/{draft['id']}/document?format=xlsx")
    assert file.headers["content-type"] == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    assert file.headers["content-disposition"] == f'attachment; filename="{draft["id"]}.xlsx"'
    assert "xl/workbook.xml" in zipfile.ZipFile(io.BytesIO(file.content)).namelist()


def test_only_what_is_issued_is_an_e_invoice(desk: Desk) -> None:
    draft = desk.draft().json()
    for form in ("facturx", "ubl", "xml"):
        refused(desk.client.get(f"/v1/invoices/{draft['id']}/document?format={form}"), 409, "is draft")
    assert desk.client.get(f"/v1/invoices/{draft['id']}/document?format=pdf").status_code == 200


def test_what_is_too_long_to_print_is_refused_by_the_form(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.exports.pdf.MAX_ROWS", 1)
    address = f"/v1/invoices/{desk.draft().json()['id']}/document"
    refused(desk.client.get(f"{address}?format=pdf"), 422, "take CSV or XLSX", parameter="format")
    assert desk.client.get(f"{address}?format=csv").status_code == 200


def test_an_e_invoice_that_does_not_validate_is_not_issued(client: TestClient) -> None:
    desk = open_desk(client, formats=["pdf", "ubl"])
    entity = client.get("/v1/entities").json()["items"][0]
    client.patch(f"/v1/entities/{entity['id']}", json={"version": 1, "tax_number": ""})
    approved = desk.step(desk.draft().json(), "approve")
    refused(desk.post(f"/{approved['id']}/finalize", {"version": 2}), 409, "BR-")
    assert desk.get(approved) == approved
    client.patch(f"/v1/entities/{entity['id']}", json={"version": 2, "tax_number": "DE123456789"})
    again = desk.issue(desk.step(approved, "redraft"))
    assert again["number"] == "ACME-2026-00001", "the refused one left no gap"


def test_a_copy_at_hand_is_not_sent_again(desk: Desk) -> None:
    draft = desk.draft().json()
    address = f"/v1/invoices/{draft['id']}"
    for known in ('"1"', 'W/"1"', "*", '"7", "1"'):
        assert desk.client.get(address, headers={"If-None-Match": known}).status_code == 304
    desk.step(draft, "approve")
    assert desk.client.get(address, headers={"If-None-Match": '"1"'}).json()["status"] == "approved"
