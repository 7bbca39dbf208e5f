"""XML written element by element. An element without content is left out: EN 16931 knows no empty ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from lxml import etree

Content = str | Decimal | date | etree._Element | None


@dataclass(frozen=True)
class Namespaces:
    """The prefixes of one kind of document, to make its elements with: `x("ram:Name", "Acme")`."""

    prefixes: Mapping[Any, str]

    def __call__(self, name: str, *content: Content, **attributes: str) -> etree._Element | None:
        """The element `prefix:name` around its content; None where all of that is None or blank."""
        filled = [it for it in content if it is not None and it != ""]
        if not filled:
            return None
        prefix, _, local = name.rpartition(":")
        element = etree.Element(f"{{{self.prefixes[prefix or None]}}}{local}", dict(attributes), dict(self.prefixes))
        for it in filled:
            if isinstance(it, etree._Element):
                element.append(it)
            else:
                element.text = format(it, "f") if isinstance(it, Decimal) else str(it)
        return element


def written(root: etree._Element | None) -> bytes:
    """The document as bytes, the same for the same elements."""
    assert root is not None
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)
