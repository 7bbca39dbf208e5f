"""What every way in (REST, command line, jobs) hands to the flows: the settings, and what is made of them once a process."""

from dataclasses import dataclass, field
from threading import Event

from sqlalchemy.engine import Engine

from app import auth
from app.clock import Clock
from app.db import create_engine, transaction
from app.errors import Interrupted
from app.flows.deliver import Courier
from app.insights.client import InsightsClient
from app.settings import Settings
from app.store import projects
from app.store.limiter import DatabaseLimiter
from app.store.projects import Project
from app.webhooks.sender import Sender


@dataclass(frozen=True)
class Service:
    """One process's view of the installation. Threads may share it."""

    settings: Settings
    engine: Engine
    clock: Clock
    vault: auth.Vault
    sender: Sender
    stopping: Event = field(default_factory=Event, kw_only=True)
    """Set when the process is to end: whatever waits for upstream lets go at once."""

    @classmethod
    def of(cls, settings: Settings) -> "Service":
        """The service of these settings; the database is not opened yet."""
        sender = Sender(development=settings.environment == "development")
        return cls(settings, create_engine(settings.database_url), settings.clock(), auth.vault(settings), sender)

    def project(self, project_id: str) -> Project:
        """The project of that id, as it is now. Raises NotFound."""
        with transaction(self.engine, read_only=True) as session:
            return projects.get(session, self.vault, project_id)

    def insights(self, project: Project) -> InsightsClient:
        """A client for a project's upstream, under the limits that all processes of this installation share."""
        return InsightsClient(
            project.credentials,
            url=project.insights_url or self.settings.insights_url,
            clock=self.clock,
            limiter=DatabaseLimiter(self.engine, clock=self.clock, sleep=self.rest),
            sleep=self.rest,
        )

    @property
    def courier(self) -> Courier:
        """Who delivers webhooks."""
        return Courier(self.engine, self.vault, self.sender, self.clock, self.settings.public_url or "")

    def go_on(self) -> None:
        """Raise Interrupted if the process is to end."""
        self.rest(0)

    def rest(self, seconds: float) -> None:
        """Wait. Raises Interrupted if the process is to end."""
        if self.stopping.wait(seconds):
            raise Interrupted
