"""`reckoner`, whose schedules run every second: a test cannot wait for the next minute."""

from dataclasses import replace

from app.cli import main
from app.jobs import work

EVERY_SECOND = "* * * * * *"

if __name__ == "__main__":
    work.SCHEDULES.update({name: replace(it, cron=EVERY_SECOND) for name, it in work.SCHEDULES.items()})
    main()
