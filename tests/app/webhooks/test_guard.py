"""Only addresses of the public Internet are let through, in whatever form an address comes."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.webhooks.guard import is_loopback, is_public

INSIDE = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
]  # fmt: skip
INSIDE_6 = [
    "::/128", "::1/128", "::/96", "fe80::/10", "fec0::/10", "fc00::/7", "ff00::/8", "2001::/32", "2001:db8::/32", "2002::/16",
    "64:ff9b:1::/48", "100::/64", "5f00::/16",
]  # fmt: skip


def within(*networks: str) -> st.SearchStrategy[IPv4Address | IPv6Address]:
    return st.sampled_from(networks).flatmap(lambda network: st.ip_addresses(network=network))


def forms(address: IPv4Address) -> list[IPv6Address]:
    """The ways to say an IPv4 address in IPv6 that the system would take for it."""
    number = int(address)
    return [IPv6Address((0xFFFF << 32) | number), IPv6Address(int(IPv6Address("64:ff9b::")) | number)]


@given(within(*INSIDE))
def test_no_inner_address_is_public_in_any_form(address: IPv4Address) -> None:
    assert not any(is_public(form) for form in (address, *forms(address)))


@given(within(*INSIDE_6))
def test_no_inner_address_of_ipv6_is_public(address: IPv6Address) -> None:
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_a_form_is_as_public_as_what_it_says(address: IPv4Address) -> None:
    assert {is_public(form) for form in forms(address)} == {is_public(address)}


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001::8a"])
def test_what_is_public_is_let_through(text: str) -> None:
    assert is_public(ip_address(text))


def test_loopback_is_known_in_every_form() -> None:
    assert all(is_loopback(ip_address(text)) for text in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"))
    assert not any(is_loopback(ip_address(text)) for text in ("10.0.0.1", "::2", "::ffff:10.0.0.1"))


def test_the_lists_are_what_they_are_taken_for() -> None:
    assert all(IPv4Network(it) for it in INSIDE)
    assert all(IPv6Network(it) for it in INSIDE_6)
