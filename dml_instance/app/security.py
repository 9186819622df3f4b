"""Who may talk to the server: this page alone, opened on this machine or with the token.

A page of another site can send requests to an address of this machine, and with a name that it
controls (DNS rebinding) even read the answers. So the name that a request is sent to has to be one
of this machine's, what changes something has to come from the page itself, and who listens to other
machines asks for a token.
"""

import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")

COOKIE = "dml_token"

# Scripts, styles and pictures of the page itself and nothing else; it is shown in no other page.
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware that refuses who may not talk to the server."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str] | None, token: str | None):
        """
        Args:
            app: behind it.
            hosts: names that requests may be sent to, without port; None: any, where a token is
                asked for.
            token: that a request has to bring, in the address once, and then as a cookie; None:
                none.
        """
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        refusal = self._refusal(scope, headers) if scope["type"] == "http" else "no such service"
        if refusal:
            await PlainTextResponse(refusal + "\n", status_code=403)(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {key for key, _ in message["headers"]}
                more = {key.encode(): value.encode() for key, value in HEADERS.items()}
                if self._in_address(scope):
                    cookie = f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/"
                    more[b"set-cookie"] = cookie.encode()
                message["headers"] += [(k, v) for k, v in more.items() if k not in there]
            await send(message)

        await self._app(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> str:
        """Why a request is refused; empty: it is not."""
        host = headers.get("host", "")
        if self._hosts is not None and _without_port(host) not in self._hosts:
            return (
                f"this page is not called {host!r}: open the address that was printed when it was "
                "started"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return f"{origin} may not use this page"
        site = headers.get("sec-fetch-site", "same-origin")
        # A link to the page may be followed from anywhere; the rest is the page's own.
        if scope["path"] != "/" and site not in ("same-origin", "none"):
            return "another page may not ask anything here"
        if self._token is not None and not (self._in_address(scope) or self._in_cookie(headers)):
            return "open the address that was printed when the page was started; it has a token"
        return ""

    def _in_address(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return self._token is not None and _same(given, self._token)

    def _in_cookie(self, headers: Mapping[str, str]) -> bool:
        pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
        return any(name == COOKIE and _same(value, self._token) for name, _, value in pairs)


def _same(given: str, wanted: str) -> bool:
    """In a time that does not tell how much of it is right."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdigit() else host.lower()
