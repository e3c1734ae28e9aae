"""Bearer token authentication of requests."""

import hmac
from collections.abc import Mapping

from .refusals import Refusal


def check_token(
    token: str | None, headers: Mapping[bytes, bytes], given: str | None = None
) -> None:
    """Check the bearer token of a request.

    Args:
        token: Required token; None: no token is needed.
        headers: Headers of the request, with lower-case names.
        given: Token passed in another way than by header.

    Raises:
        Refusal: If the token is missing or wrong.
    """
    if token is None:
        return
    words = headers.get(b"authorization", b"").split(None, 1)
    received = (given or "").encode()
    if len(words) == 2 and words[0].lower() == b"bearer":
        received = words[1]
    if not hmac.compare_digest(received, token.encode()):
        raise Refusal(
            401,
            "this server needs a token; send the header Authorization: Bearer TOKEN",
            headers={"WWW-Authenticate": "Bearer"},
        )
