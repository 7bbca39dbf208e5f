"""What the service refuses, and what it cannot do just now.

    ReckonerError                 says in one sentence what is wrong
    ├── InvalidRequest            a value from outside cannot be used; names the field and what was expected
    │   └── IdempotencyKeyReused  the key came before with another request
    ├── Unauthenticated           no API key, or one that is unknown or revoked
    ├── MissingScope              the API key is good, but not for this
    ├── NotFound                  no such thing here
    ├── Conflict                  it is there already, or in a state that forbids this
    │   ├── IdempotencyInFlight   the first request with this key has not been answered yet
    │   └── StaleVersion          somebody else changed it since it was read
    ├── FourEyes                  somebody else has to do this
    └── Unavailable               the service cannot do it now; trying again later may help

    Interrupted                   no refusal: the process stops, and nobody waits any longer
    └── Cancelled                 the same, because whoever asked for it wants it no more

`billing.errors` and `app.insights.errors` have trees of their own. Only `app.api.problems` knows what any of them is in HTTP.
"""


class ReckonerError(Exception):
    """Something that the service refuses or cannot do; `message` is one sentence for a person."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(ReckonerError):
    """A value from outside cannot be used.

    `pointer` is the JSON pointer of the field in the body, or `parameter` the name of the query parameter or header;
    `expected` says in words what would have been accepted.
    """

    def __init__(self, message: str, *, pointer: str = "", parameter: str = "", expected: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer
        self.parameter = parameter
        self.expected = expected


class IdempotencyKeyReused(InvalidRequest):
    """The same Idempotency-Key came before with another request."""


class Unauthenticated(ReckonerError):
    """No API key, or one that is unknown or revoked."""


class MissingScope(ReckonerError):
    """The API key lacks a scope."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"The API key lacks the scope '{scope}'.")
        self.scope = scope


class NotFound(ReckonerError):
    """No such thing here."""


class Conflict(ReckonerError):
    """It is there already, or in a state that forbids this."""


class IdempotencyInFlight(Conflict):
    """The first request with this Idempotency-Key has not been answered yet."""


class StaleVersion(Conflict):
    """Somebody else changed it since the caller read it."""


class FourEyes(ReckonerError):
    """Whoever made it may not do this: a second person has to."""


class Unavailable(ReckonerError):
    """The service cannot do it now; trying again later may help."""


class Interrupted(Exception):
    """The process stops: what was waited for is not waited for any longer, and what was done is done again later."""


class Cancelled(Interrupted):
    """Nobody wants any more what is being done."""
