"""`reckoner`, whose schedules run every second, all of them: a test cannot wait for the next minute."""

from dataclasses import replace

from app.cli import main
from app.jobs import engine, work

EVERY_SECOND = "* * * * * *"

if __name__ == "__main__":
    work.SCHEDULES.update({name: replace(it, cron=EVERY_SECOND) for name, it in work.SCHEDULES.items()})
    engine.POLL[engine.CLOCK] = 0.1  # one is begun at each look
    main()
