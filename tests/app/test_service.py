"""A process that is to end keeps nobody waiting."""

from threading import Thread
from time import monotonic

import pytest

from app.errors import Interrupted
from app.service import Service
from app.settings import Settings


def test_whoever_rests_lets_go_when_the_process_is_to_end(sqlite_url: str) -> None:
    service = Service.of(Settings(database_url=sqlite_url, _env_file=None))
    service.rest(0)
    Thread(target=service.stopping.set).start()
    started = monotonic()
    with pytest.raises(Interrupted):
        service.rest(60)
    assert monotonic() - started < 30
    service.engine.dispose()
