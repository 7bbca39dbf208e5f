"""Standard Webhooks: secrets, and the headers by which a receiver knows who sent a body, and when."""

from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from secrets import token_bytes

from standardwebhooks import Webhook


def new_secret() -> str:
    """A secret `whsec_…` of 32 random bytes."""
    return "whsec_" + b64encode(token_bytes(32)).decode()


def headers(secrets: Iterable[str], event_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers of a body that is sent `at` (zone-aware), signed with every secret: a receiver needs one of them."""
    at = at.astimezone(UTC)  # the library takes any time for UTC, and only its signer knows one secret at a time
    signatures = [Webhook(secret).sign(event_id, at, body.decode()) for secret in secrets]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
