import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.client import address
from strategy_engine.core.errors import InvalidError


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"]
)
def test_an_address_that_only_this_machine_reaches_is_loopback(host: str) -> None:
    assert address.is_loopback(host)


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "::", "10.0.0.1", "localhost.example.com", "", "a b"]
)
def test_an_address_that_others_may_reach_is_not_loopback(host: str) -> None:
    assert not address.is_loopback(host)


@given(st.ip_addresses())
def test_loopback_is_what_the_address_itself_says(host: object) -> None:
    assert address.is_loopback(str(host)) == host.is_loopback  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1:8700", "ftp://a", "http://", "", "http://[::1", "http://a:99999", "http://a:x"],
)
def test_what_is_no_http_url_is_refused_and_a_right_one_is_shown(text: str) -> None:
    with pytest.raises(InvalidError, match=r"http://127\.0\.0\.1:8700"):
        address.base_url(text)


def test_a_url_loses_its_trailing_slash() -> None:
    assert address.base_url(" https://engine.example:1/ ") == "https://engine.example:1"


def test_the_default_url_is_one_of_this_machine() -> None:
    url = address.base_url(address.DEFAULT_URL)

    assert address.is_loopback(address.host_of(url))
