"""For demonstrations, only while RECKONER_NOW is set: move the clock of the service."""

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.access import Administers, Operation
from app.api.schemas import WRITES, Instant, InstantGiven, Strict
from app.clock import MovableClock

router = APIRouter(prefix="/development", tags=["development"], route_class=Operation)


class Setting(Strict):
    """Where to set the clock to."""

    now: InstantGiven


class Clock(BaseModel):
    """What the clock says."""

    now: Instant


@router.post("/clock", summary="Move the simulated clock", responses=WRITES)
def move_clock(service: Administers, setting: Setting) -> Clock:
    """Set the clock to an instant, forwards or backwards; it ticks on from there."""
    assert isinstance(service.clock, MovableClock)
    service.clock.move(setting.now)
    return Clock(now=service.clock.now())
