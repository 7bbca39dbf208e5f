"""Whether the process lives, and whether it can do its work."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from app.api.schemas import documented
from app.db import is_current
from app.errors import Unavailable

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """All is well."""

    status: Literal["ok"] = "ok"


@router.get("/healthz", summary="Does the process live?")
def healthz() -> Health:
    """Always well while the process answers; it asks nothing else."""
    return Health()


@router.get("/readyz", summary="Can it do its work?", responses=documented(503))
def readyz(request: Request) -> Health:
    """Well while the database answers and has this release's tables."""
    try:
        ready = is_current(request.app.state.service.engine)
    except SQLAlchemyError as error:
        raise Unavailable("The database does not answer.") from error
    if not ready:
        raise Unavailable("The database has not this release's tables; run `reckoner migrate`.")
    return Health()
