"""What the two sides of an invoice have in common: a name, an address, and how they are reached.

Their texts are printed and go into XML, so they hold no control character, which neither has a way to say.
"""

from typing import Annotated

import pytz
from pydantic import AfterValidator, Field

from app.api import problems
from app.api.schemas import Strict
from billing.errors import InvalidSetting
from billing.exports import codes
from billing.money import Currency

_UNSAID = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff"
LINE = rf"^[^{_UNSAID}]*$"
WORDS = rf"^[^{_UNSAID}]*[^\s{_UNSAID}][^{_UNSAID}]*$"
"""A line that is not blank."""
LINES = rf"^([^{_UNSAID}]|\n)*$"
EMAIL = rf"^$|^[^@\s{_UNSAID}]+@[^@\s{_UNSAID}]+$"
problems.WORDS |= {
    LINE: "a line of text, without control characters",
    WORDS: "a line of text that is not blank, without control characters",
    LINES: "text without control characters but line feeds",
    EMAIL: "an e-mail address",
}


def _country(code: str) -> str:
    if code not in codes.countries():
        raise InvalidSetting(f"'{code}' is no country", expected="a code of ISO 3166, such as 'DE'")
    return code


def _address_scheme(code: str) -> str:
    if code not in codes.address_schemes():
        raise InvalidSetting(f"'{code}' is no scheme of addresses", expected="a code of the EAS list, such as '0204' or 'EM'")
    return code


def _currency(code: str) -> str:
    return Currency.of(code).code


def _time_zone(name: str) -> str:
    if name not in pytz.all_timezones_set:
        raise InvalidSetting("there is no such time zone", expected="a name such as 'Europe/Berlin'")
    return name


def _iban(number: str) -> str:
    """ISO 13616: with its first four characters last and letters read as 10 to 35, the number leaves 1 when divided by 97."""
    if int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 != 1:
        raise InvalidSetting("the check digits of the IBAN are wrong", expected="an IBAN, without spaces")
    return number


Name = Annotated[str, Field(min_length=1, max_length=200, pattern=WORDS, examples=["Acme GmbH"])]
Line = Annotated[str, Field(max_length=200, pattern=LINE)]
Short = Annotated[str, Field(max_length=60, pattern=LINE)]
Note = Annotated[str, Field(max_length=2000, pattern=LINES)]
Email = Annotated[str, Field(max_length=254, pattern=EMAIL, examples=["ap@acme.example"])]
CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["EUR"]), AfterValidator(_currency)]
TimeZone = Annotated[str, Field(max_length=64, examples=["Europe/Berlin"]), AfterValidator(_time_zone)]


class Address(Strict):
    """A postal address."""

    line1: Name = Field(examples=["Torstr. 1"])
    line2: Line = ""
    city: Name = Field(examples=["Berlin"])
    postal_code: Short = ""
    region: Line = ""
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$", examples=["DE"]), AfterValidator(_country)]


ELSEWHERE = Address.model_construct(line1="", city="", country="")
"""The default in a body of changes, which is never used."""


class ElectronicAddress(Strict):
    """Where e-invoices are sent: a scheme of the EAS code list, and the address within it."""

    scheme: Annotated[str, Field(pattern=r"^[0-9A-Z]{2,4}$", examples=["EM"]), AfterValidator(_address_scheme)]
    value: Name


class Bank(Strict):
    """The account to pay to."""

    name: Line = ""
    iban: Annotated[str, Field(pattern=r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$"), AfterValidator(_iban)]
    bic: Annotated[str, Field(pattern=r"^$|^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$")] = ""


class PaymentTerms(Strict):
    """When an invoice is due."""

    days: Annotated[int, Field(strict=True, ge=0, le=365)] = 30
    text: Note = ""
