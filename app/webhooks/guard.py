"""Whom a webhook may reach: an address is judged when it is connected to, and that very address is connected to.

Whoever may name an endpoint could otherwise make this service call what only it can reach: the metadata service of a cloud, a
database, itself. A name is looked up once for each connection, every address that it has must be allowed, and nothing is sent
to one that is not, not even the opening of a connection.
"""

import socket
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

import httpcore

Address = IPv4Address | IPv6Address
Lookup = Callable[[str, int], Sequence[str]]
"""From a name and a port to the addresses of it. Raises OSError or UnicodeError."""

_CLOUDS = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"))
"""Taken for public by some, but two clouds answer there with what they know of the machine that asks."""
_UNICAST = IPv6Network("2000::/3")
"""All that is handed out of IPv6 so far."""
_CARRIERS = (IPv6Network("2001::/23"), IPv6Network("2002::/16"))
"""Teredo and other special uses, and 6to4: an IPv4 address that nobody looked at is inside."""
_NAT64 = IPv6Network("64:ff9b::/96")


class Refused(httpcore.ConnectError):
    """The address may not be called."""


def is_public(address: Address) -> bool:
    """Whether it is an address of the public Internet, as it stands or as the IPv4 address inside.

    >>> [is_public(ip_address(text)) for text in ("8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2600::1")]
    [True, True, True, True]
    >>> [is_public(ip_address(text)) for text in ("10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::")]
    [False, False, False, False]
    """
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast and not any(address in network for network in _CLOUDS)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(address.packed[-4:]))
    return address in _UNICAST and address.is_global and not any(address in network for network in _CARRIERS)


def is_loopback(address: Address) -> bool:
    """Whether it is this machine's own."""
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (inner or address).is_loopback


def lookup(host: str, port: int) -> Sequence[str]:
    """What the system says, in its order."""
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


class Guard(httpcore.NetworkBackend):
    """Connects to what is allowed, by address: between the look and the call there is no second lookup to be lied to in."""

    def __init__(self, allowed: Callable[[Address], bool], look_up: Lookup = lookup) -> None:
        self._allowed = allowed
        self._look_up = look_up
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address that takes one. Raises Refused if any of them is not allowed."""
        assert timeout is not None
        until = monotonic() + timeout
        found = self._addresses(host, port, timeout)
        for text in found:
            if not self._allowed(ip_address(text)):
                raise Refused(f"The address {text} of {host} is not one that a webhook may call.")
        for number, text in enumerate(found, 1):
            left = max(until - monotonic(), 0.001) / (len(found) - number + 1)  # one that is silent leaves time for the others
            try:
                return self._inner.connect_tcp(text, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(found):
                    raise
        raise httpcore.ConnectError(f"{host} has no address.")

    def _addresses(self, host: str, port: int, timeout: float) -> Sequence[str]:
        """In a thread: the system's lookup knows no bound. One that nobody waits for any longer ends by the system's own."""
        answers: SimpleQueue[Sequence[str] | Exception] = SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._look_up(host, port))
            except Exception as error:
                answers.put(error)

        Thread(target=ask, name="look up", daemon=True).start()
        try:
            answer = answers.get(timeout=timeout)
        except Empty:
            raise httpcore.ConnectTimeout(f"The lookup of {host} took too long.") from None
        if isinstance(answer, Exception):
            raise httpcore.ConnectError(f"{host} cannot be looked up: {answer}") from answer
        return answer
