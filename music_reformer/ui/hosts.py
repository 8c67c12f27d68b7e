"""Decides which requests are answered: those to one of this server's own names, and from its own page.

A page of another site can make a visitor's browser send requests here, and by pointing its own host name at our address
(DNS rebinding) it could read the answers, too. Both are visible in a request's headers: Host, Origin, Sec-Fetch-Site.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
ANYWHERE = ("0.0.0.0", "::", "[::]")
FOREIGN = "This server refuses requests from the pages of other sites."


class Hosts:
    """The host names of a server.

    Args:
        host: address that it listens on.
        allowed: further names, such as that of a proxy.
    """

    def __init__(self, host: str, allowed: Collection[str] = ()) -> None:
        self._host = host
        self._allowed = {name.lower().rstrip(".") for name in allowed}
        self.names = {"localhost", host.strip("[]").lower(), *self._allowed}
        if not self.is_private:
            machine = socket.gethostname().lower()
            self.names |= {machine, f"{machine.partition('.')[0]}.local"}

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach the server."""
        if _is_address(self._host):
            return ipaddress.ip_address(self._host.strip("[]")).is_loopback
        return self._host.lower() == "localhost"

    @property
    def meaning(self) -> str:
        """Who can use the page, in a sentence; "" if only this machine can."""
        if self.is_private:
            return ""
        who = "this machine" if self._host in ANYWHERE else self._host
        names = ", ".join(sorted(name for name in self.names if not _is_address(name)))
        return (
            f"Anyone who can reach {who} can use this page and its processor; it answers to IP addresses and to the "
            f"names {names} (allowed_hosts=[NAME] adds one; with app.py: --allow-host NAME)."
        )

    def refusal(self, headers: Mapping[str, str], *, is_navigation: bool) -> str:
        """Why a request is not answered, in a sentence; "" if it is.

        Args:
            headers: headers of the request, with names in lower case.
            is_navigation: whether the request is for the page itself, to which any site may link.
        """
        host = headers.get("host", "").lower()
        match = HOST.fullmatch(host)
        name = match[1].rstrip(".") if match else ""
        if not name or (name not in self.names and not _is_address(name)):
            return (
                "This server does not answer to that host name; to let it, start it with allowed_hosts=[NAME] "
                "(app.py: --allow-host NAME)."
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own(origin.lower(), host):
            return FOREIGN
        links_here = is_navigation and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not links_here:
            return FOREIGN
        return ""

    def _is_own(self, origin: str, host: str) -> bool:
        """Whether an origin is this server, or a proxy in front of it with an allowed name."""
        try:
            parts = urlsplit(origin)
            return parts.scheme in ("http", "https") and (parts.netloc == host or parts.hostname in self._allowed)
        except ValueError:
            return False


def _is_address(name: str) -> bool:
    """Whether a name is an IP address, which cannot be rebound."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
