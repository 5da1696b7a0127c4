import os
import pickle
import re
from pathlib import Path

import pytest

from api.settings import Settings as ApiSettings
from api.variables import NAMES, find_unknown
from batch.settings import Settings

SECRET = "redis://ann:hush@db:6379/0"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ALMANAC_")]:
        monkeypatch.delenv(name)


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMANAC_DEPTH", "")

    assert Settings().depth == 50


def test_a_variable_is_read_as_its_settings_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMANAC_DEPTH", "20")
    monkeypatch.setenv("ALMANAC_STATE_DIR", "here")
    monkeypatch.setenv("ALMANAC_MAX_REJECTED_SHARE", ".5")

    found = Settings()

    assert (found.depth, found.state_dir, found.max_rejected_share) == (20, Path("here"), 0.5)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ALMANAC_DEPTH", "0", "must be greater than or equal to 1"),
        ("ALMANAC_DEPTH", "many", "must be a valid integer, unable to parse string as an integer"),
        ("ALMANAC_SEEN_POLICY", "some", "must be 'views', 'likes' or 'none'"),
        ("ALMANAC_BUCKET_WIDTH_S", "7000", "must be a divisor of 86400"),
        ("ALMANAC_N_LEAVES", "256", "must be less than or equal to 255"),
        *(
            (
                "ALMANAC_MAX_PER_TOPIC",
                cap,
                (
                    "must be such as 3/10, at most 3 posts of a topic in any 10 consecutive places: "
                    "fewer posts than places, and at most 500 places"
                ),
            )
            for cap in ("3", "3 of 10", "10/10", "0/10", "3/501", "-3/10")
        ),
        ("ALMANAC_ZONE", "Berlin", "must be a name of the time zone database, such as Europe/Berlin"),
        ("ALMANAC_VARIANT", "a b", "must match pattern '^[A-Za-z0-9_.-]{1,64}$'"),
    ],
)
def test_a_bad_value_names_the_variable_and_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValueError, match=name) as refused:
        Settings()

    assert str(refused.value) == f"{name}={value} {says}"


@pytest.mark.parametrize(
    "place", ["http://ann:hush@127.0.0.1", "mlflow:", "mlflow", "mlflow:ftp://ann:hush@host", "wandb:here"]
)
def test_a_bad_tracker_is_refused_and_not_repeated(place: str) -> None:
    with pytest.raises(
        ValueError, match=r"^ALMANAC_TRACKING=\*\*\* must be mlflow: and the address"
    ) as refused:
        Settings(tracking=place)

    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "place", ["", "mlflow:https://ann:hush@host/a", "mlflow:tracked", "mlflow:/srv/tracked"]
)
def test_a_tracker_is_a_server_or_a_folder_and_no_plain_setting(place: str) -> None:
    found = Settings(tracking=place)

    assert found.tracking.get_secret_value() == place
    assert {"tracking", "redis_url", "database_url", "notices"}.isdisjoint(found.plain)
    assert found.plain["depth"] == 50


@pytest.mark.parametrize(("given", "cap"), [("3/10", "3/10"), (" 03 / 10 ", "3/10"), ("", "")])
def test_a_cap_is_read_however_it_is_spelled(given: str, cap: str) -> None:
    assert Settings(max_per_topic=given).max_per_topic == cap


def test_every_bad_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMANAC_N_TREES", "0")

    with pytest.raises(ValueError, match=r"^ALMANAC_N_BUCKETS=501 must .*; ALMANAC_N_TREES=0 must [^;]*$"):
        Settings(n_buckets=501)


def test_other_values_are_checked_and_the_rest_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Settings(depth=7, redis_url=SECRET)
    monkeypatch.setenv("ALMANAC_DEPTH", "20")

    other = own.replace(variant="bold")

    assert (other.variant, other.depth, other.redis_url) == ("bold", 7, own.redis_url)
    with pytest.raises(ValueError, match="ALMANAC_VARIANT="):
        own.replace(variant="")


@pytest.mark.parametrize("kind", [Settings, ApiSettings])
def test_no_representation_shows_a_password(kind: type[Settings] | type[ApiSettings]) -> None:
    settings = kind(redis_url=SECRET)

    assert settings.redis_url.get_secret_value() == SECRET
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_a_bad_secret_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="ALMANAC_REDIS_URL") as refused:
        Settings(redis_url=["hush"])

    assert "hush" not in f"{refused.value} {refused.value!r} {refused.value.__cause__}"


@pytest.mark.parametrize("kind", [Settings, ApiSettings])
def test_every_setting_stands_in_the_settings_page_with_its_default(
    kind: type[Settings] | type[ApiSettings],
) -> None:
    page = Path("docs/settings.md").read_text()

    for name, field in kind.model_fields.items():
        row = f"| `ALMANAC_{name.upper()}` | `{field.default}` | {field.description} |"
        assert row in page, row


@pytest.mark.parametrize("kind", [Settings, ApiSettings])
@pytest.mark.parametrize(
    "url",
    [
        "hush",
        "http://ann:hush@db:6379/0",
        "redis://ann:hush@db:port/0",
        "redis://ann:hush@db:99999/0",
        "redis://ann:hu/sh@db:6379/0",
        "redis://ann:hush@db:6379/first",
        "redis://ann:hush@[::1:6379/0",
        "redis://ann:first@hush@db:6379/0",
        "redis://:hu?sh@db:6379/0",
        "redis://:12?hush@db",
        "redis://:12#hush@db",
        "unix://ann:hu/sh@/run/store.sock",
    ],
)
def test_a_bad_url_of_the_store_names_its_variable_and_no_password(
    monkeypatch: pytest.MonkeyPatch, kind: type[Settings] | type[ApiSettings], url: str
) -> None:
    monkeypatch.setenv("ALMANAC_REDIS_URL", url)

    with pytest.raises(ValueError, match="ALMANAC_REDIS_URL") as refused:
        kind()

    assert str(refused.value) == (
        "ALMANAC_REDIS_URL=*** must be redis://user:password@host:6379/0, rediss://… or unix:///path, "
        "with @ : / ? # in a name or password written as %40 %3A %2F %3F %23"
    )
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://",
        "redis+cluster://ann:hush@db:6379/1",
        "redis+cluster://ann:hush@db:port,db",
        "redis+cluster://ann:hush@{}:1",
        "redis+sentinel://ann:hush@db:26379",
    ],
)
def test_a_bad_url_of_many_nodes_says_the_form_and_no_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("ALMANAC_REDIS_URL", url)

    with pytest.raises(ValueError, match="ALMANAC_REDIS_URL") as refused:
        Settings()

    assert "be redis+cluster://user:password@host:6379,host:6379, without a database" in str(refused.value)
    assert "hush" not in str(refused.value)


def test_a_cluster_has_keys_of_its_own_and_a_prefix_without_braces() -> None:
    assert Settings(redis_url="redis+cluster://db").keys.states() == "{almanac}:1:states"
    assert Settings(redis_url="redis://db").keys.states() == "almanac:1:states"
    with pytest.raises(ValueError, match=r"ALMANAC_PREFIX=a\{b\} must be without"):
        Settings(prefix="a{b}")


@pytest.mark.parametrize("kind", [Settings, ApiSettings])
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?hush=1", "have no parameters after ? but those that redis-py takes for this scheme"),
        ("?ssl_cert_reqs=hush", "have no parameters after ? but those that redis-py takes for this scheme"),
        ("?ssl_validate_ocsp=1", "have no parameters after ? but those that redis-py takes for this scheme"),
        ("?decode_responses=1", "have no parameters after ? but those that redis-py takes for this scheme"),
        ("?protocol=hush", "be redis://user:password@host:6379/0, rediss://"),
        (
            "?ssl_ca_certs=/hush",
            "name files that can be read by ssl_ca_certs, ssl_certfile and ssl_keyfile: No such file",
        ),
    ],
)
def test_a_parameter_that_one_of_the_two_processes_would_not_take_is_refused(
    kind: type[Settings] | type[ApiSettings], query: str, says: str
) -> None:
    with pytest.raises(ValueError, match="ALMANAC_REDIS_URL") as refused:
        kind(redis_url=f"rediss://ann:hush@db:6379/0{query}")

    assert str(refused.value).startswith(f"ALMANAC_REDIS_URL=*** must {says}")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        "rediss://db",
        "redis://:hush@db?db=3",
        "unix:///run/store.sock",
        "rediss://db?ssl_cert_reqs=none&ssl_check_hostname=no&protocol=2",
        "redis://a%40b:c%2Fd@db",
    ],
)
def test_a_good_url_of_the_store_is_taken_as_it_is(url: str) -> None:
    assert Settings(redis_url=url).redis_url.get_secret_value() == url


def test_an_unknown_variable_comes_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMANAC_DEPTH", "7")
    monkeypatch.setenv("ALMANAC_REDISURL", SECRET)
    monkeypatch.setenv("ALMANAC_XYZZY", "1")

    assert find_unknown() == {"ALMANAC_REDISURL": "ALMANAC_REDIS_URL", "ALMANAC_XYZZY": ""}


def test_every_variable_that_anything_reads_is_known_and_no_other() -> None:
    settings = {name.upper() for kind in (Settings, ApiSettings) for name in kind.model_fields}
    compose, *others = Path("docker-compose.yml"), Path("Makefile"), *Path("tests").rglob("*.py")
    named, in_others = (
        {name for place in places for name in re.findall(r"\bALMANAC_([A-Z_]+)\b", place.read_text())}
        for places in ([compose], others)
    )

    assert settings | named <= NAMES <= settings | named | in_others
