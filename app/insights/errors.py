"""What can go wrong between us and upstream.

InsightsError                    upstream gave no answer that can be relied on; one sentence for a person
├── UpstreamError                upstream said no, and would say so again; has its code
│   ├── InvalidCredentials       1000, 1001, 1011, 1019, 1020, HTTP 401
│   ├── NotAuthorised            1021, HTTP 403
│   ├── ProjectNotFound          1008, 1015
│   ├── NeedsAdvancedInsights    1014
│   ├── InvalidRange             1002
│   ├── SessionNotFound          1017
│   ├── TokenExpired             1016
│   └── InvalidQuery             every other code: the query itself was wrong
├── UpstreamUnavailable          upstream cannot answer now; trying again later may help
│   ├── RateLimited              HTTP 429
│   ├── ServerFailed             1012, HTTP 5xx
│   ├── Unreachable              no connection, or it broke
│   └── TimedOut                 connecting, reading or the whole call took too long
└── MalformedAnswer              the answer is not what upstream documents: refused whole, nothing guessed
    └── AnswerTooLarge           more bytes than an answer may have
"""


class InsightsError(Exception):
    """Upstream gave no answer that can be relied on. `code` is upstream's own, where it stated one."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class UpstreamError(InsightsError):
    """Upstream refused, and asking again would change nothing."""


class InvalidCredentials(UpstreamError):
    """The project's key, secret or token is not accepted."""


class NotAuthorised(UpstreamError):
    """The token is good, but not for this project."""


class ProjectNotFound(UpstreamError):
    """Upstream knows no such project."""


class NeedsAdvancedInsights(UpstreamError):
    """The session level needs the Advanced Insights add-on.

    Misleading: upstream may answer the same code to a query over 500,000 nodes (support article). Our queries are held far
    below that (`app.insights.queries`), so here it can be believed.
    """


class InvalidRange(UpstreamError):
    """The dates are refused: a start past the retention, most often."""


class SessionNotFound(UpstreamError):
    """Upstream knows no such session (any more)."""


class TokenExpired(UpstreamError):
    """Even a fresh token was taken for expired: the clocks disagree."""


class InvalidQuery(UpstreamError):
    """Upstream does not understand the query: a defect of ours, or its schema has changed."""


class UpstreamUnavailable(InsightsError):
    """Upstream cannot answer now. `retry_after` is how many seconds it asked us to wait, where it said so."""

    def __init__(self, message: str, *, code: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class RateLimited(UpstreamUnavailable):
    """Too many requests."""


class ServerFailed(UpstreamUnavailable):
    """Upstream failed inside, or is under maintenance."""


class Unreachable(UpstreamUnavailable):
    """No connection could be made, or it broke."""


class TimedOut(UpstreamUnavailable):
    """Connecting, reading, or the whole call took too long."""


class MalformedAnswer(InsightsError):
    """The answer is not what upstream documents, so all of it is refused.

    `path` is the JSON pointer of what is wrong inside the answer ("" is the whole answer), `expected` says what would have been
    accepted.
    """

    def __init__(self, message: str, *, path: str = "", expected: str = "") -> None:
        super().__init__(f"{message} at {path}" if path else message)
        self.path = path
        self.expected = expected


class AnswerTooLarge(MalformedAnswer):
    """More bytes than an answer may have, counted after decompression."""


_BY_CODE: dict[int, type[UpstreamError]] = {
    **dict.fromkeys((1000, 1001, 1011, 1019, 1020), InvalidCredentials),
    1002: InvalidRange,
    **dict.fromkeys((1008, 1015), ProjectNotFound),
    1014: NeedsAdvancedInsights,
    1016: TokenExpired,
    1017: SessionNotFound,
    1021: NotAuthorised,
}

INTERNAL_ERROR = 1012
STALE_TOKEN = frozenset({1016, 1020})
"""Codes that a fresh token may cure: worth one more try."""


def from_code(code: int | None, message: str) -> InsightsError:
    """The error that upstream's code stands for; a code unknown to us, or none, is an InvalidQuery."""
    if code == INTERNAL_ERROR:
        return ServerFailed(f"Upstream failed inside: {message}", code=code)
    return _BY_CODE.get(code or 0, InvalidQuery)(f"Upstream refused: {message}", code=code)
