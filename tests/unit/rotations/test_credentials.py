"""The application's Secret with another login in it: every URL follows, all else stays, what is unclear is refused."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.core.errors import Stalled
from aada_operator.rotations.credentials import rewritten

USER, PASSWORD = "aada_lms_a", "kept-by-hand-0815"
OLD = {"username": USER, "password": PASSWORD}
NEW = ("aada_lms_b", "made-by-the-operator-4711")
ADDRESS = "db.example.edu:5432/aada_lms"


def with_keys(**more: str) -> dict[str, str]:
    """What the Secret holds afterwards beside username and password."""
    found = rewritten(OLD | more, *NEW)
    assert (found.pop("username"), found.pop("password")) == NEW
    return found


def test_what_names_no_login_stays_as_it_is() -> None:
    more = {"host": "db.example.edu", "port": "5432", "name": "aada_lms", "ca.crt": "-----BEGIN CERTIFICATE-----\n"}
    assert with_keys(**more) == more


@pytest.mark.parametrize("key", ["user", "PGUSER", "DB_USER", "postgres-login", "role"])
def test_a_user_in_another_key_is_the_new_one_too(key: str) -> None:
    assert with_keys(**{key: USER}) == {key: NEW[0]}
    assert with_keys(**{key: "somebody-else"}) == {key: "somebody-else"}


def test_a_database_that_is_called_as_the_old_login_keeps_its_name() -> None:
    assert with_keys(name=USER, dbname=USER) == {"name": USER, "dbname": USER}


def test_a_url_gets_the_new_login_and_keeps_everything_else() -> None:
    url = "postgresql+psycopg2://{}:{}@" + ADDRESS + "?sslmode=require&x=%20#part"
    assert with_keys(url=url.format(USER, PASSWORD)) == {"url": url.format(*NEW)}


def test_every_url_is_rewritten_whatever_its_key_is_called() -> None:
    urls = {f"key-{n}": f"{scheme}://{USER}:{PASSWORD}@{ADDRESS}" for n, scheme in enumerate(("postgres", "psql"))}
    assert all(":".join(NEW) in url for url in with_keys(**urls).values())


def test_several_hosts_of_one_url_stay() -> None:
    found = with_keys(url=f"postgresql://{USER}:{PASSWORD}@one:5432,two:5433/lms?target_session_attrs=read-write")
    assert found["url"].endswith("@one:5432,two:5433/lms?target_session_attrs=read-write")


def test_a_url_with_somebody_elses_login_stays() -> None:
    url = "redis://cache:another-secret@cache:6379/0"
    assert with_keys(broker=url, mirror=f"postgresql://reader:other@{ADDRESS}") == {
        "broker": url,
        "mirror": f"postgresql://reader:other@{ADDRESS}",
    }


@pytest.mark.parametrize("password", ["p@ss:w/rd?#%&+ä", "100%", "a b", "[::1]", "'\"\\", "%41"])
def test_a_password_in_a_url_is_percent_encoded(password: str) -> None:
    url = f"postgresql://{quote(USER, safe='')}:{quote(password, safe='')}@{ADDRESS}"
    found = rewritten({"username": USER, "password": password, "url": url}, *NEW)
    assert found["url"] == f"postgresql://{':'.join(NEW)}@{ADDRESS}"
    back = rewritten(found, USER, password)
    assert back["url"] == url


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


@given(user=_TEXT, password=_TEXT, new_user=_TEXT, new_password=_TEXT)
def test_there_and_back_is_where_it_began(user: str, password: str, new_user: str, new_password: str) -> None:
    login = ":".join(quote(part, safe="") for part in (user, password))
    data = {"username": user, "password": password, "url": f"postgresql://{login}@{ADDRESS}?sslmode=disable"}
    there = rewritten(data, new_user, new_password)
    parts = urlsplit(there["url"])
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (new_user, new_password)
    assert (there["username"], there["password"]) == (new_user, new_password)
    assert rewritten(there, user, password) == data


@pytest.mark.parametrize(
    "value",
    [
        f"host=db user={USER} password={PASSWORD}",
        f"db:5432:aada_lms:{USER}:{PASSWORD}",
        f'{{"password": "{PASSWORD}"}}',
        f"jdbc:postgresql://db/aada_lms?user={USER}&password={PASSWORD}",
        f"postgresql://somebody:{PASSWORD}@{ADDRESS}",
        PASSWORD,
    ],
)
def test_the_old_password_in_another_form_is_refused(value: str) -> None:
    with pytest.raises(Stalled) as refused:
        rewritten(OLD | {"dsn": value}, *NEW)
    assert refused.value.reason == "SecretNotRewritable"
    assert "key dsn" in refused.value.message
    assert PASSWORD not in refused.value.message


def test_an_encoded_password_in_no_url_is_refused_too() -> None:
    with pytest.raises(Stalled, match="SecretNotRewritable"):
        rewritten({"username": USER, "password": "p@ss/word", "query": "password=p%40ss%2Fword"}, *NEW)


def test_a_password_that_is_a_common_word_is_not_looked_for_in_other_keys() -> None:
    assert rewritten({"username": USER, "password": "lms", "name": "aada_lms"}, *NEW)["name"] == "aada_lms"
