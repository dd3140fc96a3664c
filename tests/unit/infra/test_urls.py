import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from strategy_engine.infra import urls


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada@db/engine",
        "postgresql://ada:s3cret@db:5433/engine?sslmode=require",
        "postgresql:///engine?host=/var/run/postgresql",
        "postgresql://ada:p%40ss@[::1]:5432/engine?application_name=x&options=-csearch_path%3Dy",
    ],
)
def test_a_url_of_a_postgresql_database_is_taken_as_it_is(url):
    assert urls.checked_url(url) == url
    assert urls.is_server(url)


def test_the_short_scheme_is_the_same():
    assert urls.checked_url(" postgres://ada@db/engine ") == "postgresql://ada@db/engine"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://ada:s3cret@db/engine", "begin with postgresql://"),
        ("postgresql+asyncpg://ada:s3cret@db/engine", "begin with postgresql://"),
        ("sqlite:///s3cret.db", "unset it"),
        ("s3cret", "begin with"),
        ("postgresql://ada:s3cret@db", "no database"),
        ("postgresql://ada:s3cret@db/", "no database"),
        ("postgresql://ada:s3cret@db:port/engine", "no URL"),
        ("postgresql://[ada:s3cret@db/engine", "no URL"),
        ("postgresql://ada:12/s3cret@db/engine", "%2F"),
        ("postgresql://ada:s3cret@db/engine?sslmod=require", "sslmod.*there are.*sslmode"),
    ],
)
def test_what_is_none_is_refused_without_repeating_it(url, why):
    with pytest.raises(ValueError, match=why) as caught:
        urls.checked_url(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://db",
        "redis://ada:p%2Fss@db:6379/2",
        "rediss://:word@[::1]:7000/?ssl_cert_reqs=none&ssl_check_hostname=false",
        "unix:///run/redis.sock?db=1",
        "unix://ada:word@/run/redis.sock",
    ],
)
def test_a_url_of_a_redis_server_is_taken_as_it_is_and_by_its_client(url):
    assert urls.checked_redis_url(f" {url} ") == url
    Redis.from_url(url).connection_pool.make_connection()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://:s3cret@db", "begin with redis://"),
        ("redis://:s3cret@db:port/0", "no URL"),
        ("redis://:s3cret@[::1", "no URL"),
        ("redis://:half#s3cret@db", "no URL"),
        ("redis://:12#s3cret@db", "no URL"),
        ("redis://ada:12/s3cret@db/0", "%2F"),
        ("redis://:s3cret@db/name", "a number"),
        ("unix://:s3cret@db", "no socket"),
        ("unix:///run/redis.sock?db=s3cret", "a number"),
        ("redis://db?pasword=s3cret", "pasword.*there are.*password"),
        ("redis://:s3cret@db?ssl_cert_reqs=none", "unknown parameter"),
        ("rediss://:s3cret@db?ssl_cert_reqs=s3cret", "none, optional, required"),
        ("redis://:s3cret@db?socket_timeout=soon", "unknown parameter"),
    ],
)
def test_what_the_redis_client_would_stumble_over_is_refused_without_repeating_it(url, why):
    with pytest.raises(ValueError, match=why) as caught:
        urls.checked_redis_url(url)
    assert "s3cret" not in str(caught.value)


@given(st.text(max_size=40).map("redis://".__add__))
def test_any_text_is_a_redis_url_that_its_client_takes_or_a_clear_refusal(text):
    try:
        url = urls.checked_redis_url(text)
    except ValueError as error:
        assert str(error).startswith(("it", "the database"))
    else:
        Redis.from_url(url).connection_pool.make_connection()


@given(st.text(max_size=40))
def test_any_text_is_a_url_or_a_clear_refusal(text):
    try:
        assert urls.is_server(urls.checked_url(text))
    except ValueError as error:
        assert str(error).startswith("it ")


@pytest.mark.parametrize(
    ("url", "shown", "password"),
    [
        ("postgresql://ada:p%40ss@db:5433/e", "postgresql://ada@db:5433/e", "p@ss"),
        ("postgresql://ada@db/e?sslmode=require", "postgresql://ada@db/e?sslmode=require", None),
        ("postgresql:///e?host=/run/pg&password=x", "postgresql:///e?host=/run/pg", "x"),
        ("postgresql://ada:@/e?host=/run/pg", "postgresql://ada@/e?host=/run/pg", None),
        (
            "postgresql:///e?options=-cx%3Dy%20-cz%3D1",
            "postgresql:///e?options=-cx%3Dy%20-cz%3D1",
            None,
        ),
    ],
)
def test_a_password_is_taken_out_of_what_is_shown(url, shown, password):
    assert urls.without_password(url) == (shown, password)
