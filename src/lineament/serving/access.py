"""The bearer token of requests."""

import hmac
from collections.abc import Mapping

from .refusals import Refusal


def check_token(
    token: str | None, headers: Mapping[bytes, bytes], given: str | None = None
) -> None:
    """Check the bearer token of a request.

    Args:
        token: Token wanted; None: no token is needed.
        headers: Headers of the request, lower case.
        given: Token that came otherwise.

    Raises:
        Refusal: If it is absent or wrong.
    """
    if token is None:
        return
    words = headers.get(b"authorization", b"").split(None, 1)
    found = (given or "").encode()
    if len(words) == 2 and words[0].lower() == b"bearer":
        found = words[1]
    if not hmac.compare_digest(found, token.encode()):
        raise Refusal(
            401,
            "this server needs a token; send the header Authorization: Bearer TOKEN",
            headers={"WWW-Authenticate": "Bearer"},
        )
