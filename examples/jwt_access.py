"""Callers proved by the JSON Web Tokens of an identity provider (RFC 7519), in the place of RINGBACK_TOKENS.

Pass it to ``ringback.cli.main(app, handlers, access=JwtAccess(key, audience, issuer))``, or to ``ringback.routes``. It
needs ``pip install 'ringback[jwt]'``.
"""

from __future__ import annotations

import jwt

from ringback import Caller, Unauthorized
from ringback.settings import SCOPES


class JwtAccess:
    """Finds the caller that a token names.

    The token's ``sub`` is the caller, ``scope`` has its scopes with blanks between them, and ``tasks`` is the list of
    the patterns of its tasks. A token without ``tasks`` may call none.

    :param key: the provider's public key, in PEM form. It is read once: a request cannot wait for another server.
    :param audience: that the token must be meant for.
    :param issuer: that must have made it.
    """

    is_guarded = True

    def __init__(self, key: str, audience: str, issuer: str) -> None:
        self._key, self._audience, self._issuer = key, audience, issuer

    def caller(self, authorization: str | None) -> Caller:
        """Find the caller by the request's ``Authorization`` header.

        :raises Unauthorized: the token is missing, forged, too old, or meant for another service.
        """
        scheme, _, token = (authorization or "").partition(" ")
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=["RS256", "ES256"],  # never from the token itself, which could say "none" or HS256
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp", "sub"]},
            )
        except jwt.InvalidTokenError as error:
            raise Unauthorized("a bearer token is needed that the identity provider has signed") from error
        if scheme.lower() != "bearer":
            raise Unauthorized("the token belongs behind the word Bearer")
        patterns = claims.get("tasks", [])
        scopes = str(claims.get("scope", "")).split()
        is_list = isinstance(patterns, list) and all(isinstance(pattern, str) for pattern in patterns)
        return Caller(claims["sub"], tuple(patterns) if is_list else (), frozenset(scopes) & frozenset(SCOPES))
