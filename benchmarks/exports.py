"""Exporting 20 invoices of 200 lines in every form, beside the canonical JSON, pandas and openpyxl."""

import io
import json
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.measure import contender, timed
from billing.exports import formats
from billing.exports.formats import InvoiceFormat
from tests.samples import long

TIMES = 20
Document = dict[str, Any]


def _pandas_csv(document: Document) -> str:
    import pandas as pd

    return pd.json_normalize(document["lines"]).to_csv(index=False)


def _openpyxl(document: Document) -> bytes:
    from openpyxl import Workbook

    book, out = Workbook(), io.BytesIO()
    sheet = book.active
    assert sheet is not None
    for line in document["lines"]:
        sheet.append([str(value) for value in line.values()])
    book.save(out)
    return out.getvalue()


PEERS: dict[str, Callable[[Document], Any]] = {"pandas, CSV of the lines": _pandas_csv, "openpyxl, lines as text": _openpyxl}


def rows() -> list[dict[str, Any]]:
    """A row for each form and each peer; the floor is the document as JSON."""
    found = [(name, contender("benchmarks.exports", name)) for name in (*InvoiceFormat, *PEERS)]
    floor = found[0][1]["seconds"]
    return [
        {
            "benchmark": f"{TIMES} invoices of 200 lines",
            "contender": name,
            "seconds": it["seconds"],
            "ratio": it["seconds"] / floor,
            "peak_mb": it["peak_mb"],
            "notes": {"ms each": round(it["seconds"] / TIMES * 1000, 2), "bytes": it["answer"]},
        }
        for name, it in found
    ]


def main(name: str) -> None:
    """Measure one contender and print what it took."""
    document = long()
    peer = PEERS.get(name) or (lambda it: formats.invoice(it, InvoiceFormat(name)).content)
    print(json.dumps(timed(lambda: [len(peer(document)) for _ in range(TIMES)][-1])))


if __name__ == "__main__":
    main(sys.argv[1])
