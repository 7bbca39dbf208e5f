"""What billing period a request becomes."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from app.api.access import Operation, Reads
from app.api.schemas import READS, Aligned, PeriodQuery
from billing.period import AlignedPeriod

router = APIRouter(tags=["periods"], route_class=Operation)


class Alignment(BaseModel):
    """What was asked, what it became, and why."""

    requested: dict[str, Any]
    aligned: Aligned
    added_days: int
    explanation: str

    @classmethod
    def of(cls, aligned: AlignedPeriod) -> "Alignment":
        """The JSON of an aligned period."""
        return cls(
            requested=dict(aligned.requested),
            aligned=Aligned.of(aligned),
            added_days=aligned.added_days,
            explanation=aligned.explanation,
        )


@router.get("/periods/align", summary="Align a period to Pacific midnights", responses=READS)
def align(_: Reads, request: Annotated[PeriodQuery, Query()]) -> Alignment:
    """The billing period that a month, a cycle, two days or two instants become, before anything is collected."""
    return Alignment.of(request.aligned)
