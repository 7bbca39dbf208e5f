"""Rate cards: published version by version, never changed, and tried out on past reports before they are published."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import msgspec
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Discriminator, Field, model_validator

from app.api.access import Actor, Administers, Operation, Reads
from app.api.schemas import DAY, NOT_FOUND, PRINTABLE, READS, WRITES, Cursor, Day, Instant, Limit, Page, Period, Strict
from app.db import transaction
from app.flows import rates
from app.store import rate_cards
from app.store.money_tables import RateCardRow
from billing import ratecard_file
from billing.pricing import Priced

router = APIRouter(prefix="/rate-cards", tags=["rate cards"], route_class=Operation)

CardId = Annotated[str, Field(pattern=rate_cards.ID, examples=["list-prices-example"])]
InPath = Annotated[CardId, Path(description="A rate card's id")]
VersionInPath = Annotated[int, Path(ge=1, le=2**31 - 1, description="The number of one of its versions")]
Amount = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?$", examples=["0.00395"])]
"""A price or an amount: a text, so that it never passes through a float."""
Quantity = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,6})?$", examples=["2000"])]
Percent = Annotated[str, Field(pattern=r"^(100|[1-9]?[0-9])(\.[0-9]{1,6})?$", examples=["19"])]
Mode = Literal["half_up", "half_even", "half_down", "up", "down", "ceiling", "floor"]
OnDay = Annotated[str, Field(pattern=DAY, examples=["2026-10-01"])]


class Flat(Strict):
    """Every minute costs the same."""

    model: Literal["flat"]
    unit_price: Amount


class Bracket(Strict):
    """The minutes above the bracket before it, up to and with `up_to`; null in the last one."""

    up_to: Quantity | None
    unit_price: Amount


class Graduated(Strict):
    """Each minute costs what its own bracket says."""

    model: Literal["graduated"]
    brackets: Annotated[list[Bracket], Field(min_length=1)]


class Volume(Strict):
    """All minutes cost what the bracket of the whole quantity says."""

    model: Literal["volume"]
    brackets: Annotated[list[Bracket], Field(min_length=1)]


class Package(Strict):
    """Minutes in packages of `size`; one that is begun is paid for."""

    model: Literal["package"]
    size: Quantity
    package_price: Amount


Price = Annotated[Flat | Graduated | Volume | Package, Discriminator("model")]


class AllowanceByTier(Strict):
    """Minutes of each tier that are free in a period."""

    scope: Literal["tier"]
    minutes: dict[str, Quantity]


class PooledAllowance(Strict):
    """Minutes that are free in a period, for all tiers together."""

    scope: Literal["pooled"]
    minutes: Quantity


class Commitment(Strict):
    """The least that a period comes to before tax."""

    amount: Amount


class Discount(Strict):
    """Taken off what the discounts before it have left."""

    kind: Literal["percentage", "fixed"]
    value: Amount


class Tax(Strict):
    """A named rate; `category` is that of EN 16931, and a rate without tax says the reason."""

    name: Annotated[str, Field(min_length=1, max_length=200, examples=["DE VAT"])]
    percent: Percent
    category: Literal["S", "Z", "E", "AE", "K", "G", "O"] = Field("S", description="By default S, and Z where percent is 0")
    reason: Annotated[str, Field(max_length=500)] = ""


class Rounding(Strict):
    """How quantities and amounts are rounded; `per` invoice the rounded sum is shared by the lines."""

    quantity_decimals: Annotated[int, Field(strict=True, ge=0, le=6)] = 2
    quantity_mode: Mode = "half_up"
    amount_mode: Mode = "half_up"
    per: Literal["line", "invoice"] = "line"


class Terms(Strict):
    """What a version says; `prices` has one for every tier of `tier_plan`."""

    name: Annotated[str, Field(min_length=1, max_length=200, examples=["List 2026"])]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", examples=["EUR"])]
    effective_from: OnDay
    effective_to: OnDay | None = Field(None, description="The last billing day on which it counts")
    tier_plan: Annotated[list[str], Field(min_length=1, examples=[["from1To2Publishers", "from3PlusPublishers"]])]
    prices: dict[str, Price]
    usage_prices: dict[str, Price] = Field({}, description="Of other kinds of usage; one that is left out is not charged for")
    allowance: Annotated[AllowanceByTier | PooledAllowance, Discriminator("scope")] | None = None
    commitment: Commitment | None = None
    discounts: list[Discount] = Field([], description="Taken off one after the other")
    tax: Tax | None = None
    taxes: list[Tax] = Field([], description="Rates that a customer may have in place of `tax`, by their names")
    rounding: Rounding = Rounding()
    note: Annotated[str, Field(max_length=2000)] = ""


class NewRateCard(Terms):
    """A version to publish: the next one of the card with that `id`, which may be new; without an id it is a new card."""

    id: CardId | None = None
    version: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)] | None = Field(
        None, description="The version that this was made from, or the one that it is to be: HTTP 409 if there is a newer one"
    )

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, document: Any) -> Any:
        """Refuse in the words of `billing.ratecard_file`, which the command line speaks too."""
        ratecard_file.parse(document)
        return document

    def document(self) -> dict[str, Any]:
        """What was sent."""
        return self.model_dump(exclude_unset=True)


class RateCard(Terms):
    """A published version of a rate card."""

    id: str
    version: int
    sha256: str
    published_at: Instant

    @classmethod
    def of(cls, row: RateCardRow) -> Self:
        """The JSON of a published version."""
        return cls(**msgspec.json.decode(row.body), sha256=row.sha256, published_at=row.published_at)


class Comparison(Strict):
    """A version to try out, and on which reports."""

    rate_card: NewRateCard
    card_id: CardId | None = Field(
        None, description="The card to compare with; else the document's `id`, or each project's own"
    )
    project_ids: Annotated[list[Annotated[str, Field(max_length=64, pattern=PRINTABLE)]], Field(max_length=100)] = Field(
        [], description="Else all projects that the card prices"
    )
    period: Period | None = Field(None, description="Only reports inside it")
    dated: bool = Field(False, strict=True, description="Let it count only on its own days, not on all days of a report")
    limit: Annotated[int, Field(strict=True, ge=1, le=200)] = 50


class Sums(BaseModel):
    """What a report comes to: total = subtotal − discount + commitment + tax, in the currency's own decimals."""

    currency: str
    subtotal: str
    discount: str
    commitment: str
    tax: str
    total: str

    @classmethod
    def of(cls, priced: Priced, less: Priced | None = None) -> Self:
        """The JSON of what something comes to, or of how much more than another in the same currency."""
        names = set(cls.model_fields) - {"currency"}
        more = {name: getattr(priced, name) - (getattr(less, name) if less else 0) for name in names}
        return cls(currency=priced.currency.code, **{name: priced.currency.text(value) for name, value in more.items()})


class ComparedLine(BaseModel):
    """One usage of a report: its minutes, and what they come to before discounts; null where there are no prices."""

    usage: str
    quantity: str
    old: str | None
    new: str | None
    difference: str | None


class ComparedReport(BaseModel):
    """A report at the published rates and at the new ones. A side that cannot be priced is null; `problems` says why."""

    report_id: str
    project_id: str
    first_day: Day
    last_day: Day
    verdict: str
    old: Sums | None
    new: Sums | None
    difference: Sums | None = Field(description="How much more is new; null where one is missing or in another currency")
    lines: list[ComparedLine]
    problems: list[str]

    @classmethod
    def of(cls, it: rates.Repriced) -> Self:
        """The JSON of a report at both rates."""
        old, new = (side if isinstance(side, Priced) else None for side in (it.old, it.new))
        sides = (("old", it.old), ("new", it.new))
        return cls(
            report_id=it.report.id,
            project_id=it.report.project_id,
            first_day=it.report.first_day,
            last_day=it.report.last_day,
            verdict=it.report.verdict,
            old=old and Sums.of(old),
            new=new and Sums.of(new),
            difference=Sums.of(new, old) if old and new and old.currency == new.currency else None,
            lines=list(_lines(old, new)),
            problems=[f"No {name} prices: {side}" for name, side in sides if isinstance(side, str)],
        )


def _lines(old: Priced | None, new: Priced | None) -> Iterator[ComparedLine]:
    """Each usage once, though brackets and segments have it in several lines."""
    for usage in dict.fromkeys(line.usage for side in (old, new) if side for line in side.lines):
        was, will = _amount(old, usage), _amount(new, usage)
        quantities = [line.quantity for side in (new or old,) if side for line in side.lines if line.usage == usage]
        yield ComparedLine(
            usage=usage,
            quantity=format(sum(quantities, Decimal(0)), "f"),
            old=old and old.currency.text(was),
            new=new and new.currency.text(will),
            difference=new.currency.text(will - was) if old and new and old.currency == new.currency else None,
        )


def _amount(priced: Priced | None, usage: str) -> Decimal:
    return sum((line.amount for line in (priced.lines if priced else ()) if line.usage == usage), Decimal(0))


class Compared(BaseModel):
    """Reports at both rates, the last first."""

    reports: list[ComparedReport]


@router.post("", status_code=201, summary="Publish a rate card", responses=WRITES)
def publish_rate_card(service: Administers, actor: Actor, new: NewRateCard, response: Response) -> RateCard:
    """Publish a version, which never changes. The same again is the version that is there."""
    with transaction(service.engine) as session:
        card = rate_cards.publish(session, new.document(), service.clock.now(), actor=actor)
        row = rate_cards.find(session, card.id, card.version)
    response.headers["Location"] = f"/v1/rate-cards/{card.id}/versions/{card.version}"
    return RateCard.of(row)


@router.get("", summary="List rate cards", responses=READS)
def list_rate_cards(service: Reads, limit: Limit = 50, cursor: Cursor = None) -> Page[RateCard]:
    """The newest version of each rate card; the card that was published first comes last."""
    with transaction(service.engine, read_only=True) as session:
        page = rate_cards.list_page(session, limit=limit, cursor=cursor)
    return Page(items=[RateCard.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.post("/diff", summary="Try a rate card on past reports", responses=WRITES | NOT_FOUND)
def diff_rate_card(service: Reads, wanted: Comparison) -> Compared:
    """What past reports would have come to, had the card been in effect. Nothing is published."""
    with transaction(service.engine, read_only=True) as session:
        found = rates.diff(
            session,
            wanted.rate_card.document(),
            card_id=wanted.card_id,
            project_ids=wanted.project_ids,
            period=wanted.period and wanted.period.period,
            dated=wanted.dated,
            limit=wanted.limit,
        )
        return Compared(reports=[ComparedReport.of(it) for it in found])


@router.get("/{card_id}", summary="Read a rate card", responses=READS | NOT_FOUND)
def get_rate_card(service: Reads, card_id: InPath) -> RateCard:
    """Its newest version."""
    with transaction(service.engine, read_only=True) as session:
        return RateCard.of(rate_cards.find(session, card_id))


@router.get("/{card_id}/versions", summary="List a rate card's versions", responses=READS | NOT_FOUND)
def list_rate_card_versions(service: Reads, card_id: InPath, limit: Limit = 50, cursor: Cursor = None) -> Page[RateCard]:
    """All that was ever published of it, newest first."""
    with transaction(service.engine, read_only=True) as session:
        page = rate_cards.list_versions(session, card_id, limit=limit, cursor=cursor)
    return Page(items=[RateCard.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.get("/{card_id}/versions/{version}", summary="Read a version of a rate card", responses=READS | NOT_FOUND)
def get_rate_card_version(service: Reads, card_id: InPath, version: VersionInPath) -> RateCard:
    """One version, as it was published."""
    with transaction(service.engine, read_only=True) as session:
        return RateCard.of(rate_cards.find(session, card_id, version))
