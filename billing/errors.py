"""What the billing library refuses.

    BillingError                 a value from outside cannot be used; names the field and what was expected
    ├── InvalidPeriod            no billing period can be made of what was asked
    ├── InvalidMinutes           minutes that are not finite, not negative, or absurd
    ├── InvalidTier              a field name that is no publisher tier
    ├── InvalidTierPlan          tiers that overlap or leave a gap
    ├── TierNotObserved          a tier of the plan that upstream was not asked for when the day was collected
    ├── InvalidSetting           a project's setting out of its range
    ├── InvalidMoney             an amount, a price or a currency that cannot be used
    ├── InvalidRateCard          a rate card that says too little, too much, or two things at once
    ├── NoRateCard               a billing day or a kind of usage that no rate card prices
    ├── NotInvoiceable           a period that may not be invoiced as it is
    ├── InvalidNote              a credit or debit note that cannot be made
    ├── InvalidTransition        a status that may not follow the one a document has
    ├── InvalidVendorInvoice     a vendor's invoice, or the mapping of its files, that cannot be read without guessing
    └── TooLargeToPrint          a document of more rows than a PDF should have

Findings about usage are not errors: they are `Discrepancy` values.
"""


class BillingError(ValueError):
    """A value from outside cannot be used.

    `pointer` is the JSON pointer of the field relative to the value handed in ("" is the whole value),
    `expected` says in words what would have been accepted.
    """

    def __init__(self, message: str, *, pointer: str = "", expected: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.pointer = pointer
        self.expected = expected


class InvalidPeriod(BillingError):
    """No billing period can be made of what was asked."""


class InvalidMinutes(BillingError):
    """Minutes that are not finite, are negative, or are absurd."""


class InvalidTier(BillingError):
    """A field name that is no publisher tier."""


class InvalidTierPlan(BillingError):
    """Tiers that overlap, leave a gap, or do not reach from 1 up."""


class TierNotObserved(BillingError):
    """A tier of the plan that upstream was not asked for when the day was collected: its minutes are unknown, not zero."""


class InvalidSetting(BillingError):
    """A project's setting out of its range."""


class InvalidMoney(BillingError):
    """An amount, a price or a currency that cannot be used."""


class InvalidRateCard(BillingError):
    """A rate card that says too little, too much, or two things at once."""


class NoRateCard(BillingError):
    """A billing day or a kind of usage that no rate card prices."""


class NotInvoiceable(BillingError):
    """A period that may not be invoiced as it is: a verdict without an override, or another currency."""


class InvalidNote(BillingError):
    """A credit or debit note that cannot be made, such as one that gives back more than is left."""


class InvalidTransition(BillingError):
    """A status that may not follow the one a document has."""


class InvalidVendorInvoice(BillingError):
    """A vendor's invoice, or the mapping of its files, that cannot be read without guessing."""


class TooLargeToPrint(BillingError):
    """A document of more rows than a PDF should have: CSV and XLSX hold them all."""
