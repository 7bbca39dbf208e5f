"""Credit and debit notes: by line, or of the difference between what was invoiced and what a restated report comes to.

An invoice and its notes are added up field by field: each line, each discount, the commitment's true-up, and of each tax rate
its base and its amount. Debit notes add, credit notes take away. Two sums matter:

    restated   the invoice and the notes of restatements: what should have been invoiced
    left       the invoice and all notes: what is still owed of it

A credit takes from what is left. Discounts and taxes follow the credited lines cumulatively: after each note, as much of a
discount is given back as is its part in all that was credited so far, to the minor unit. So however an invoice is split into
credits, each rounding is made up for by the next note, and what is credited last is all that is left: exactly zero remains.

A line of a note names the invoice's line in `corrects_position`. A line that a restatement adds goes on in the invoice's
numbering, so that it can be credited as well.

Three tiers at 10.00 each, 10.00 off, 19 % of tax on the 20.00: 23.80. Credited line by line, a line's part of the discount is
3.33, of two lines 6.67, so the second gives back 3.34; of the tax it is 1.27 of 6.67, then 2.53 of 13.33, so 1.26:

>>> from datetime import date
>>> from billing.invoice import draft
>>> from billing.period import BillingPeriod
>>> from billing.pricing import Usage, price
>>> from billing.ratecard import CardHistory
>>> from billing.ratecard_file import parse
>>> tiers = ["from1To2Publishers", "from3To25Publishers", "from26PlusPublishers"]
>>> card = parse({"name": "Doc", "currency": "EUR", "effective_from": "2026-01-01", "tier_plan": tiers,
...     "prices": dict.fromkeys(tiers, {"model": "flat", "unit_price": "0.01"}), "tax": {"name": "DE VAT", "percent": "19"},
...     "discounts": [{"kind": "fixed", "value": "10.00"}]})
>>> day, month = date(2026, 10, 5), BillingPeriod(date(2026, 10, 1), date(2026, 10, 31))
>>> priced = price([Usage("100", tier, {day: 1000 * 10**6}) for tier in tiers], CardHistory([card]), month)
>>> payer = {"id": "cus_1", "currency": "EUR", "terms": {"days": 30, "text": ""}, "formats": ["pdf"]}
>>> invoice = {**draft(payer, {}, month, priced, []), "id": "inv_1", "number": "A-2026-00001"}
>>> invoice["total"]
'23.80'
>>> notes = []
>>> for position in (1, 2, 3):
...     notes.append(credit(invoice, notes, [CreditLine(position)], None, "Agreed."))
>>> [(note["subtotal"], note["discount"], note["tax"], note["total"]) for note in notes]
[('10.00', '3.33', '1.27', '7.94'), ('10.00', '3.34', '1.26', '7.92'), ('10.00', '3.33', '1.27', '7.94')]
>>> left(invoice, notes), settled(invoice, notes)
(Decimal('0.00'), True)
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import count
from typing import Any

from billing.errors import InvalidNote
from billing.invoice import Json, Kind, Override, ReportRef, body, check_currency, check_verdicts, core_of, named_once, plain
from billing.money import EXACT, WIDE, Currency
from billing.pricing import Priced

LUMP = "lump"
"""The unit of a line that credits a part of another: one lump of money, not minutes."""

Key = tuple[str, Any]
Fields = dict[Key, Decimal]
"""What is owed, by the kind of field and which one: ("line", 3), ("discount", …), ("commitment", ""), ("base", …), ("tax", …);
and of each line its quantities."""

_QUANTITIES = ("quantity", "allowance_used", "units")
_COMMITMENT = ("commitment", "")
_ZERO = Decimal(0)


@dataclass(frozen=True)
class CreditLine:
    """How much to credit of the line at `position`: an amount of the line's own sign, or None for all that is left of it."""

    position: int
    amount: Decimal | None = None


@dataclass(frozen=True)
class _State:
    """An invoice with its notes: its lines by position, what should have been invoiced, and what is left of it."""

    currency: Currency
    lines: dict[int, Json]
    commitment_tax: str
    restated: Fields
    left: Fields

    @classmethod
    def of(cls, invoice: Json, notes: Sequence[Json]) -> "_State":
        restated = [invoice, *(note for note in notes if note["restatement"])]
        return cls(
            Currency.of(invoice["currency"]),
            {_place(line): line for document in reversed(restated) for line in document["lines"]},
            restated[-1]["commitment_tax"],
            _add(restated),
            _add([invoice, *notes]),
        )

    @property
    def credited(self) -> Fields:
        """What credits that are no restatement have given back."""
        return _less(self.restated, self.left)


def left(invoice: Json, notes: Iterable[Json]) -> Decimal:
    """What is still owed of an invoice after its notes, tax included."""
    return _total(_add([invoice, *notes]))


def settled(invoice: Json, notes: Sequence[Json]) -> bool:
    """Whether notes have taken an invoice back to zero in every amount: it is `credited` then."""
    return bool(notes) and not _money(_add([invoice, *notes]))


def credit(
    invoice: Json, notes: Sequence[Json], lines: Sequence[CreditLine] | None, commitment: Decimal | None, reason: str
) -> dict[str, Any]:
    """The core of a note that credits these lines and so much of the commitment's true-up, or with neither, all that is left.

    `invoice` and `notes`, all that correct it so far, are whole documents. Raises InvalidNote with the pointer of the line.
    """
    _check_reason(reason)
    state = _State.of(invoice, notes)
    everything = lines is None and commitment is None
    taken = state.left if everything else _wanted(state, lines or (), commitment)
    if any(amount != taken.get(key, _ZERO) for key, amount in state.left.items() if key[0] in ("line", "commitment")):
        taken |= _follow(state, taken)
    else:
        taken = state.left
    if not _money(taken):
        raise InvalidNote("This would credit nothing", pointer="/lines", expected="an amount of which something is left")
    _check_total(state, _total(taken))
    change = {key: -amount for key, amount in taken.items() if key[0] not in _QUANTITIES}
    for place in state.lines:
        untouched = all(state.left[name, place] == state.restated[name, place] for name in ("line", *_QUANTITIES))
        if untouched and taken.get(("line", place)) == state.left["line", place]:
            change |= {(name, place): -state.restated[name, place] for name in _QUANTITIES}
    return _note(invoice, state, change, reason, {"restatement": False})


def restate(
    invoice: Json,
    notes: Sequence[Json],
    priced: Priced,
    reports: Sequence[ReportRef],
    reason: str,
    *,
    override: Override | None = None,
) -> dict[str, Any] | None:
    """The core of the note that makes of what was invoiced what `priced` says now, or None where no amount differs.

    A debit note where more is owed now, else a credit note. Earlier credits stand beside it; where they gave back more of a
    line than is now invoiced, InvalidNote names it. Raises NotInvoiceable for a verdict that needs an override, or another
    currency.
    """
    _check_reason(reason)
    check_verdicts(reports, override)
    check_currency(priced, invoice["currency"])
    state = _State.of(invoice, notes)
    anew = {**body(priced, reports), "kind": Kind.INVOICE}
    anew["lines"] = _placed(anew["lines"], state.lines)
    change = _less(_add([anew]), state.restated)
    if not _money(change):
        return None
    after = _State(
        state.currency,
        state.lines | {line["position"]: line for line in anew["lines"]},
        anew["commitment_tax"],
        _plus(state.restated, change),
        _plus(state.left, change),
    )
    _check_credited(after)
    said = {key: anew[key] for key in ("report_ids", "reports")}
    said |= {"restatement": True, "override": None if override is None else override.json()}
    return _note(invoice, after, change, reason, said)


def _add(documents: Iterable[Json]) -> Fields:
    """The sum of documents, field by field, as whoever is owed sees it: credit notes count negative."""
    total: Fields = {}
    with localcontext(EXACT):
        for document in documents:
            sign = -1 if document["kind"] == Kind.CREDIT_NOTE else 1
            for key, text in _fields(document):
                total[key] = total.get(key, _ZERO) + sign * Decimal(text)
    return total


def _fields(document: Json) -> Iterator[tuple[Key, str]]:
    for line in document["lines"]:
        yield ("line", _place(line)), line["amount"]
        if line["unit"] != LUMP:
            yield from (((name, _place(line)), line[name]) for name in _QUANTITIES)
    for it in document["discounts"]:
        yield ("discount", (it["kind"], it["value"], it["text"], it["tax"])), it["amount"]
    yield _COMMITMENT, document["commitment"]
    for it in document["taxes"]:
        rate = (it["name"], it["percent"], it["category"], it["reason"])
        yield ("base", rate), it["base"]
        yield ("tax", rate), it["amount"]


def _place(line: Json) -> int:
    """The position in the invoice's numbering."""
    place: int = line["corrects_position"] or line["position"]
    return place


def _plus(one: Fields, other: Fields) -> Fields:
    with localcontext(EXACT):
        return {key: one.get(key, _ZERO) + other.get(key, _ZERO) for key in one | other}


def _less(one: Fields, other: Fields) -> Fields:
    with localcontext(EXACT):
        return {key: one.get(key, _ZERO) - other.get(key, _ZERO) for key in one | other}


def _sum(fields: Fields, kind: str, which: Callable[[Any], bool] = lambda _: True) -> Decimal:
    with localcontext(EXACT):
        return sum((amount for (its, name), amount in fields.items() if its == kind and which(name)), _ZERO)


def _total(fields: Fields) -> Decimal:
    with localcontext(EXACT):
        return _sum(fields, "line") - _sum(fields, "discount") + _sum(fields, "commitment") + _sum(fields, "tax")


def _money(fields: Fields) -> bool:
    """Whether any amount is not zero."""
    return any(amount for key, amount in fields.items() if key[0] not in _QUANTITIES)


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidNote("A note says why it is made", pointer="/reason", expected="a sentence for the customer")


def _wanted(state: _State, lines: Sequence[CreditLine], commitment: Decimal | None) -> Fields:
    """The amounts asked for, each within what is left."""
    taken: Fields = {}
    for index, wanted in enumerate(lines):
        pointer, key = f"/lines/{index}", ("line", wanted.position)
        if wanted.position not in state.lines:
            known = f"a position from 1 to {max(state.lines)}" if state.lines else "none: it has no lines"
            raise InvalidNote(f"There is no line {wanted.position}", pointer=f"{pointer}/position", expected=known)
        if key in taken:
            raise InvalidNote(
                f"Line {wanted.position} is named twice", pointer=f"{pointer}/position", expected="each line at most once"
            )
        amount = state.left[key] if wanted.amount is None else wanted.amount
        taken[key] = _within(state, key, amount, f"line {wanted.position}", f"{pointer}/amount")
    if commitment is not None:
        taken[_COMMITMENT] = _within(state, _COMMITMENT, commitment, "the commitment's true-up", "/commitment")
    return taken


def _within(state: _State, key: Key, amount: Decimal, what: str, pointer: str) -> Decimal:
    currency, rest = state.currency, state.left[key]
    low, high = min(rest, _ZERO), max(rest, _ZERO)
    if amount.is_finite() and low <= amount <= high and amount == currency.round(amount):
        return amount
    raise InvalidNote(
        f"{plain(amount)} {currency.code} cannot be credited of {what}, of which {currency.text(rest)} are left",
        pointer=pointer,
        expected=f"an amount from {currency.text(low)} to {currency.text(high)}",
    )


def _follow(state: _State, taken: Fields) -> Fields:
    """The discounts and taxes that go with the lines and the commitment taken: their part in all credited so far, less earlier.

    A discount follows the lines of its own tax rate.
    """
    restated, credited = state.restated, state.credited
    after = _plus(credited, taken)
    result: Fields = {}

    def lines(fields: Fields, rate: str) -> Decimal:
        return _sum(fields, "line", lambda place: state.lines[place]["tax"] == rate)

    def discounts(rate: str) -> Decimal:
        return _sum(result, "discount", lambda it: it[-1] == rate)

    for key in (it for it in restated if it[0] == "discount"):
        rate = key[1][-1]
        result[key] = _part(state.currency, restated[key], lines(after, rate), lines(restated, rate)) - credited[key]
    for base in (it for it in restated if it[0] == "base"):
        rate, tax = base[1][0], ("tax", base[1])
        commitment = taken.get(_COMMITMENT, _ZERO) if state.commitment_tax == rate else _ZERO
        result[base] = lines(taken, rate) - discounts(rate) + commitment
        reached = credited[base] + result[base]
        result[tax] = _part(state.currency, restated[tax], reached, restated[base]) - credited[tax]
    return result


def _part(currency: Currency, whole: Decimal, part: Decimal, of: Decimal) -> Decimal:
    """Of `whole`, as much as `part` is of `of`, rounded."""
    return currency.round(WIDE.divide(WIDE.multiply(whole, part), of)) if of else currency.round(_ZERO)


def _check_total(state: _State, total: Decimal) -> None:
    """Lines of both signs: giving back only those of one could give back more than is owed, or ask for more."""
    rest = _total(state.left)
    if not min(rest, _ZERO) <= total <= max(rest, _ZERO):
        money = state.currency.text
        raise InvalidNote(
            f"These lines come to {money(total)} {state.currency.code} with tax, of which {money(rest)} are left",
            pointer="/lines",
            expected="the lines of the other sign credited with them",
        )


def _check_credited(state: _State) -> None:
    """What was credited before a restatement must be within what is invoiced now."""
    money, credited = state.currency.text, state.credited
    facts = [(f"line {place}", credited["line", place], state.restated["line", place]) for place in state.lines]
    facts.append(("the commitment's true-up", credited[_COMMITMENT], state.restated[_COMMITMENT]))
    facts.append(("the total", _total(credited), _total(state.restated)))
    for what, given, now in facts:
        if not min(now, _ZERO) <= given <= max(now, _ZERO):
            raise InvalidNote(
                f"Of {what}, {money(given)} {state.currency.code} are credited already, and now it comes to {money(now)}",
                expected="a credit note of all that is left, and a new invoice",
            )


def _placed(lines: Sequence[dict[str, Any]], known: Mapping[int, Json]) -> list[dict[str, Any]]:
    """New lines at the positions of the known ones that are about the same; others go on in the numbering."""
    places: dict[Any, list[int]] = {}
    for place in sorted(known, reverse=True):
        places.setdefault(_about(known[place]), []).append(place)
    further = count(max(known, default=0) + 1)
    placed = []
    for line in lines:
        same = places.get(_about(line))
        placed.append({**line, "position": same.pop() if same else next(further)})
    return placed


def _about(line: Json) -> tuple[Any, ...]:
    """What makes two lines the same apart from their quantity: only then is the difference between them a line of its own."""
    bracket, card = line["bracket"] or {}, line["rate_card"]
    itself = ("kind", "project_id", "usage", "first_day", "last_day", "unit", "model", "unit_price", "tax")
    return (*(line[name] for name in itself), bracket.get("from"), bracket.get("up_to"), card["id"], card["version"])


def _note(invoice: Json, state: _State, change: Fields, reason: str, said: Json) -> dict[str, Any]:
    """The core of the note of a change in what is owed; `said` is what else differs from the invoice."""
    total = _total(change)
    kind = Kind.DEBIT_NOTE if total > 0 else Kind.CREDIT_NOTE
    amounts = change if kind is Kind.DEBIT_NOTE else _less({}, change)
    money = state.currency.text
    named = [it for it in sorted(state.lines) if any(amounts.get((name, it)) for name in ("line", *_QUANTITIES))]
    discounts = {key[1]: amount for key, amount in amounts.items() if key[0] == "discount" and amount}
    # Those that the note's lines and discounts name, also on a base of zero: their category is said nowhere else.
    used = {*(state.lines[it]["tax"] for it in named), *(tax for *_, tax in discounts)}
    rates = [key[1] for key in amounts if key[0] == "base" and (amounts[key] or amounts["tax", key[1]] or key[1][0] in used)]
    taxes = [
        dict(zip(("name", "percent", "category", "reason"), rate, strict=True))
        | {"base": money(amounts["base", rate]), "amount": money(amounts["tax", rate])}
        for rate in rates
    ]
    return {
        **core_of(invoice),
        "kind": kind,
        "lines": [_line(position, place, state, amounts) for position, place in enumerate(named, 1)],
        "subtotal": money(_sum(amounts, "line")),
        "discounts": [
            {"kind": kind, "value": value, "amount": money(amount), "text": text, "tax": tax}
            for (kind, value, text, tax), amount in discounts.items()
        ],
        "discount": money(_sum(amounts, "discount")),
        "commitment": money(_sum(amounts, "commitment")),
        "commitment_tax": state.commitment_tax,
        "taxes": named_once(taxes),
        "tax": money(_sum(amounts, "tax")),
        "total": money(abs(total)),
        "issued_on": None,
        "due_on": None,
        "corrects": {key: invoice[key] for key in ("id", "number", "issued_on")},
        "reason": reason,
        "override": None,
        "notes": "",
        **said,
    }


def _line(position: int, place: int, state: _State, amounts: Fields) -> dict[str, Any]:
    """A note's line: of the same minutes as the corrected one, or where those are unknown, a lump of money."""
    amount = amounts.get(("line", place), _ZERO)
    line = {**state.lines[place], "position": position, "corrects_position": place, "amount": state.currency.text(amount)}
    if any(amounts.get((name, place)) for name in _QUANTITIES):
        return line | {name: plain(amounts[name, place]) for name in _QUANTITIES}
    units = "1" if amount > 0 else "-1"
    lump = {"quantity": units, "allowance_used": "0", "units": units, "unit": LUMP}
    return line | lump | {"unit_price": state.currency.text(abs(amount)), "bracket": None, "text": f"Part of: {line['text']}"}
