"""Ids of any kind in a real store: numbers of posts, keys of users, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis

from api.contract.codec import decode
from api.contract.ids import canonical
from api.contract.manifest import Manifest
from batch.data.ids import IdNames
from batch.publish.generation import GenerationContent
from batch.publish.kinds import IdsChanged
from batch.publish.publish import publish
from batch.store import read
from tests.content import KEYS, blocks, config, content, generations, with_text_ids
from tests.own_lists import needs_of, read_own, read_seen

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("some_layout")]


def publish_of(store: redis.Redis, folder: Path, of: GenerationContent, **how: object) -> Manifest:
    return publish(generations(store), of, blocks(of), config(folder, **how))


def with_posts(of: GenerationContent, ids: list[int]) -> GenerationContent:
    """Return a content whose posts have these whole numbers as ids, ascending."""
    return replace(of, post_ids=np.array(ids, np.int64))


def dictionary(store: redis.Redis) -> dict[str, int]:
    """Return canonical id to number, and make sure that both hashes say the same."""
    numbers = {k.decode(): int(v) for k, v in read.fields(store, KEYS.numbers()).items()}
    ids = {int(k): v.decode() for k, v in read.fields(store, KEYS.ids()).items()}
    assert {canonical(spelled): number for number, spelled in ids.items()} == numbers
    return numbers


def test_posts_whose_ids_are_text_stand_in_lists_as_numbers(store: redis.Redis, tmp_path: Path) -> None:
    of = with_text_ids(content())
    manifest = publish_of(store, tmp_path, of)
    numbers = dictionary(store)
    ids = of.post_names.canonical(of.post_ids)

    assert (manifest.user_ids, manifest.post_ids, needs_of(manifest)) == ("text", "text", ("ids",))
    assert numbers.keys() == {one for one in ids if one != "7"}
    number = [numbers[one] if one in numbers else int(one) for one in ids]
    assert sorted(number) == [*range(30)]  # the lowest that were free, and 7, which is its own
    lists = np.concatenate([block.posts for block in blocks(of)])
    for user, user_id in enumerate(of.user_names.canonical(of.user_ids)):
        found = read_own(store, 1, user_id)
        for bucket, start in enumerate(of.horizon.starts):
            wanted = [number[row] for row in lists[user, bucket] if row >= 0]
            assert decode(found[b"%d" % start]) == wanted
    assert store.hgetall(KEYS.posts(1)) == {b"%d" % number[row]: shown for row, shown in enumerate(of.posts)}


def test_a_users_seen_posts_are_numbers_under_their_quoted_id(store: redis.Redis, tmp_path: Path) -> None:
    of = with_text_ids(content())
    publish_of(store, tmp_path, of)
    numbers = dictionary(store) | {"7": 7}
    ids = of.post_names.canonical(of.post_ids)

    user = of.user_names.canonical(of.user_ids).index("ann smith")
    posts, times = (
        column[of.views.start[user] : of.views.start[user + 1]] for column in (of.views.post, of.views.time)
    )
    wanted = {numbers[ids[post]]: int(at) for post, at in zip(posts, times, strict=True)}
    assert read_seen(store, "almanac:1:seen:{ann%20smith}") == wanted
    assert "007" in read.words(store, "almanac:1:users:1")
    assert generations(store).user_ids(1) == of.user_names.canonical(of.user_ids)


def test_whole_numbers_below_2_to_the_31_need_no_dictionary(store: redis.Redis, tmp_path: Path) -> None:
    manifest = publish_of(store, tmp_path, content())

    assert (manifest.user_ids, manifest.post_ids, needs_of(manifest)) == ("numbers", "numbers", ())
    assert store.exists(KEYS.ids(), KEYS.numbers()) == 0
    assert not {b"needs", b"user_ids"} & {
        line.split(b'"')[1]
        for line in replace(manifest, needs=needs_of(manifest)).to_json().split(b"\n")
        if b'"' in line
    }
    assert not list((tmp_path / "1").glob("*names*"))


def test_a_post_that_is_no_such_number_takes_the_lowest_free_one_and_keeps_it(
    store: redis.Redis, tmp_path: Path
) -> None:
    small = [*range(1, 29)]
    first = publish_of(store, tmp_path, with_posts(content(), [0, *small, 29]))
    large = publish_of(store, tmp_path, with_posts(content(), [*small, 2**31, 2**40]))
    again = publish_of(store, tmp_path, with_posts(content(), [0, *small[:-1], 2**31, 2**40]))

    assert list(map(needs_of, (first, large, again))) == [(), ("ids",), ("ids",)]
    assert large.post_ids == "numbers"
    assert dictionary(store) == {str(2**31): 30, str(2**40): 31}  # 0 and 29 are kept for the first generation
    posts = read.fields(store, KEYS.posts(again.generation))
    assert {0, 1, 30, 31} < set(map(int, posts))


def test_an_id_whose_number_somebody_has_gets_another(store: redis.Redis, tmp_path: Path) -> None:
    publish_of(store, tmp_path, with_posts(content(), [*range(1, 29), 2**31, 2**40]))
    assert dictionary(store) == {str(2**31): 0, str(2**40): 29}

    publish_of(store, tmp_path, with_posts(content(), [*range(29), 29]))

    assert dictionary(store) == {str(2**31): 0, str(2**40): 29, "0": 30, "29": 31}


def test_the_spelling_is_the_tables_latest(store: redis.Redis, tmp_path: Path) -> None:
    of = with_text_ids(content())
    publish_of(store, tmp_path, of)
    before = dictionary(store)
    uuids = [text for text in of.post_names.spelled(of.post_ids) if len(text) == 36]
    shouted = IdNames.of(
        "text", [text.upper() if text in uuids else text for text in of.post_names.spelled(of.post_ids)]
    )

    publish_of(store, tmp_path, replace(of, post_names=shouted))

    assert dictionary(store) == before
    spelled = {text.decode() for text in read.fields(store, KEYS.ids()).values()}
    assert {text.upper() for text in uuids} < spelled


def test_numbers_become_text_only_where_that_is_allowed(store: redis.Redis, tmp_path: Path) -> None:
    of = content()
    publish_of(store, tmp_path, of)
    texts = with_text_ids(of)
    users = replace(of, user_ids=texts.user_ids, user_names=texts.user_names)

    with pytest.raises(
        IdsChanged, match=r"user_id in the table of users holds .*generation 1, which.*ALMANAC_IDS=text"
    ):
        publish_of(store, tmp_path, users)
    with pytest.raises(
        IdsChanged, match="post_id in the table of posts holds a number above 9007199254740991"
    ):
        publish_of(store, tmp_path, replace(of, post_names=IdNames("text")))
    assert store.hlen(KEYS.states()) == 1

    assert publish_of(store, tmp_path, texts, ids="text").user_ids == "text"
    assert publish_of(store, tmp_path, texts).user_ids == "text"
    assert publish_of(store, tmp_path, of).user_ids == "numbers"


def test_seen_posts_that_stood_under_large_ids_are_written_anew_under_numbers(
    store: redis.Redis, tmp_path: Path
) -> None:
    """A store of an earlier version has ids beyond 2³¹ as themselves in its seen sets."""
    of = with_posts(content(), [*range(1, 30), 2**40])
    publish_of(store, tmp_path, of)
    large = np.flatnonzero(of.views.post == 29)
    user = int(np.searchsorted(of.views.start, large[0], side="right")) - 1
    key = KEYS.seen(int(of.user_ids[user]))
    old = Manifest.from_json(read.value(store, KEYS.manifest(1)) or b"")
    store.set(KEYS.manifest(1), replace(old, needs=tuple({*old.needs} - {"ids"})).to_json())
    store.delete(KEYS.ids(), KEYS.numbers(), key, key + ":old")

    publish_of(store, tmp_path, of)
    assert dictionary(store) == {str(2**40): 30}  # generation 1 is kept, and has a post 0
    assert read_seen(store, key)[30] == of.views.time[large[0]]
    store.delete(key, key + ":old")
    publish_of(store, tmp_path, of)
    assert read_seen(store, key) == {}  # proven, so not written again


def test_retiring_clears_every_key_of_users_with_any_id(store: redis.Redis, tmp_path: Path) -> None:
    of = with_text_ids(content())
    for _ in range(3):
        publish_of(store, tmp_path, of)

    left = [key.decode() for key in store.scan_iter("almanac:1:list:*")]
    assert {name.rsplit(":", 1)[1] for name in left} == {"2", "3"}
    assert len(left) == 80
    assert generations(store).list_ttl_s(3) == config(tmp_path).ttl_s
    assert generations(store).lists_expired(1) is False


def test_the_function_takes_and_replies_ids(store: redis.Redis, tmp_path: Path) -> None:
    of = replace(with_text_ids(content()), seen_policy="none")
    manifest = publish_of(store, tmp_path, of)
    spelled = of.post_names.spelled(of.post_ids)
    user, at_s = of.user_names.canonical(of.user_ids).index("{brace}"), of.horizon.start_s
    (lists,) = (block.posts for block in blocks(of, size=40))
    ranked = [spelled[row] for row in lists[user, 0] if row >= 0]
    names = [KEYS.current("default"), KEYS.manifest(1), KEYS.list("{brace}", 1), KEYS.seen("{brace}")]
    names += [KEYS.takedowns(), KEYS.popular(1), KEYS.catalogue(1), KEYS.posts(1), KEYS.ids()]
    old = [KEYS.seen_old("{brace}")] if manifest.layout == "packed" else []
    names += [KEYS.pins(), KEYS.numbers(), *old, *(KEYS.segment(1, name) for name in ("0", "1"))]

    def asked(*unwanted: str) -> list[str]:
        reply = store.fcall_ro("feed", len(names), *names, str(at_s), "3", *unwanted)
        assert isinstance(reply, list)
        return [part.decode() for part in reply[3:]]

    assert asked() == ranked[:3]
    store.sadd(KEYS.takedowns(), canonical(ranked[1]))
    assert asked() == [ranked[0], ranked[2], ranked[3]]
    assert asked(ranked[0].upper(), ranked[2]) == [*ranked[3:5], asked(*ranked)[0]]
