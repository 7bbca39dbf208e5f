"""Reading a paged list to its last page, and refusing one that cannot be trusted to have been read whole."""

from collections.abc import Hashable, Sequence

from app.insights.errors import MalformedAnswer
from app.insights.schema import PageInfo


class Listing:
    """One list being read page by page.

    An offset cursor that stands still, or a page that comes again, would loop for ever or count minutes twice; a next page
    without a cursor, or a total that was not reached, would lose some.
    """

    def __init__(self, path: str) -> None:
        """`path` is the JSON pointer of the list in the answer."""
        self._path = path
        self._cursors: set[str] = {""}
        self._pages: set[int] = set()
        self._read = 0

    def follow(self, info: PageInfo, rows: Sequence[Hashable], total: int | None) -> str | None:
        """Take note of a page, whose rows are named by `rows`; the cursor of the next page, None after the last.

        `total` is what upstream says the whole list holds, None where it does not say. Raises MalformedAnswer.
        """
        self._read += len(rows)
        page = hash(tuple(rows))
        if rows and page in self._pages:
            raise MalformedAnswer("A page came twice.", path=self._path, expected="each page once")
        self._pages.add(page)
        if not info.has_next_page:
            if total is not None and total != self._read:
                raise MalformedAnswer(
                    f"{self._read} rows were read to the last page of {total}.",
                    path=f"{self._path}/totalCount",
                    expected="as many rows as the answer counts",
                )
            return None
        if not info.end_cursor or info.end_cursor in self._cursors:
            problem = "The cursor comes again." if info.end_cursor else "There is a next page, but no cursor to it."
            raise MalformedAnswer(problem, path=f"{self._path}/pageInfo/endCursor", expected="a new cursor")
        if not rows:
            raise MalformedAnswer("A page before the last is empty.", path=f"{self._path}/resources", expected="rows")
        self._cursors.add(info.end_cursor)
        return info.end_cursor
