"""The bytes in the store, written out: whoever changes one breaks the other side, or an older generation."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.codec import decode, encode
from api.contract.experiment import Arm, Experiment
from api.contract.exposure import Exposure, pack
from api.contract.keys import SCHEMA, Keys
from api.contract.manifest import HOLDS_SEEN, WINDOWS, Manifest
from api.contract.window import Window, decode_window, encode_window

MANIFEST = Manifest(
    generation=42,
    variant="default",
    as_of_s=1_640_357_999,
    created_at_s=1_640_358_100,
    start_s=1_640_354_400,
    width_s=3600,
    n_buckets=24,
    depth=50,
    seen_policy="views",
    model="sha256:ab",
    features=("age", "hour"),
    segment_by=("gender",),
    segments=("0", "1"),
    counts={"users": 2},
    metrics={"auc": 0.5},
    profile={"age": [20.5, 31.0], "os": ["iOS"]},
)
GOLDEN = b"""{
  "as_of_s": 1640357999,
  "checksums": {},
  "counts": {
    "users": 2
  },
  "created_at_s": 1640358100,
  "depth": 50,
  "features": [
    "age",
    "hour"
  ],
  "gate": null,
  "generation": 42,
  "metrics": {
    "auc": 0.5
  },
  "model": "sha256:ab",
  "n_buckets": 24,
  "profile": {
    "age": [
      20.5,
      31.0
    ],
    "os": [
      "iOS"
    ]
  },
  "root": "",
  "schema": 1,
  "seen_policy": "views",
  "segment_by": [
    "gender"
  ],
  "segments": [
    "0",
    "1"
  ],
  "start_s": 1640354400,
  "variant": "default",
  "width_s": 3600
}"""


def test_a_ranked_list_is_ids_separated_by_a_space() -> None:
    assert encode([17, 2331, 45]) == b"17 2331 45"
    assert encode([]) == b""


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_decoding_gives_back_what_was_encoded(post_ids: list[int]) -> None:
    assert decode(encode(post_ids)) == post_ids


def test_a_manifest_is_indented_json_with_sorted_keys() -> None:
    assert MANIFEST.to_json() == GOLDEN
    assert Manifest.from_json(GOLDEN) == MANIFEST


def test_a_manifest_of_another_schema_is_refused() -> None:
    with pytest.raises(ValueError, match=f"has schema 2, this Almanac reads {SCHEMA}"):
        Manifest.from_json(GOLDEN.replace(b'"schema": 1', b'"schema": 2'))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"schema": 1}', GOLDEN.replace(b'"width_s"', b'"width"')]
)
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="this is no manifest"):
        Manifest.from_json(text)


@pytest.mark.parametrize(
    ("key", "spelled"),
    [
        (Keys().current("default"), "almanac:1:current:default"),
        (Keys().counter(), "almanac:1:counter"),
        (Keys().states(), "almanac:1:states"),
        (Keys().lease(), "almanac:1:lease"),
        (Keys().manifest(42), "almanac:1:manifest:42"),
        (Keys().users(42), "almanac:1:users:42"),
        (Keys().list(200, 42), "almanac:1:list:{200}:42"),
        (Keys().popular(42), "almanac:1:popular:42"),
        (Keys().segment(42, "1|3"), "almanac:1:segment:42:1|3"),
        (Keys().profile(42, "1._.0"), "almanac:1:profile:42:1._.0"),
        (Keys().profiles(42), "almanac:1:profiles:42"),
        (Keys().catalogue(42), "almanac:1:catalogue:42"),
        (Keys().posts(42), "almanac:1:posts:42"),
        (Keys().windows(42), "almanac:1:windows:42"),
        (Keys().explore(42), "almanac:1:explore:42"),
        (Keys().seen(200), "almanac:1:seen:{200}"),
        (Keys().likes(200), "almanac:1:likes:{200}"),
        (Keys("shop").takedowns(), "shop:1:takedowns"),
    ],
)
def test_a_key_is_spelled(key: str, spelled: str) -> None:
    assert key == spelled


def test_all_keys_of_a_user_share_one_hash_tag() -> None:
    tags = {re.findall(r"{(.+?)}", key)[0] for key in (Keys().list(7, 1), Keys().seen(7), Keys().likes(7))}

    assert tags == {"7"}


def test_a_manifest_of_lists_that_hold_seen_posts_says_so_and_needs_a_reader_that_knows() -> None:
    others = replace(MANIFEST, holds_seen=True, needs=(HOLDS_SEEN,))

    assert b'"holds_seen": true,' in others.to_json()
    assert b'"needs": [\n    "holds_seen"\n  ]' in others.to_json()
    assert Manifest.from_json(others.to_json()) == others


def test_a_manifest_of_posts_with_windows_needs_a_reader_that_knows_them() -> None:
    some = replace(MANIFEST, needs=(WINDOWS,))

    assert b'"needs": [\n    "windows"\n  ]' in some.to_json()
    assert Manifest.from_json(some.to_json()) == some


@pytest.mark.parametrize(
    ("window", "written"),
    [
        (Window(1640390400, 1640476800), b"1640390400,1640476800"),
        (Window(None, 1640476800), b",1640476800"),
        (Window(1640390400, None), b"1640390400,"),
        (Window(-(2**63), 2**63 - 1), b"-9223372036854775808,9223372036854775807"),
        (Window(None, None), b","),
    ],
)
def test_a_window_is_two_times_with_a_comma_between(window: Window, written: bytes) -> None:
    assert encode_window(*window) == written
    assert decode_window(written) == window


@pytest.mark.parametrize("raw", [b"", b"17", b"1,2,3", b"1.5,", b"a,b", b" 1,2", b"1,2\n", b"--1,"])
def test_what_is_no_window_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="is no window"):
        decode_window(raw)


def test_an_experiment_is_these_bytes() -> None:
    one = Experiment(
        name="shelf",
        salt="tea",
        arms=(Arm("old", "default", 50), Arm("new", "text", 50)),
        start_s=1640390400,
        forced={"200": "new"},
        response="ab",
        state="running",
    )

    assert one.to_json() == (
        b'{"name":"shelf","salt":"tea","arms":[{"name":"old","variant":"default","share":50},'
        b'{"name":"new","variant":"text","share":50}],"start_s":1640390400,"end_s":null,'
        b'"forced":{"200":"new"},"response":"ab","routes":["checker","feed"],"sample_percent":100,'
        b'"state":"running"}'
    )


def test_records_of_answers_are_these_bytes() -> None:
    one = Exposure(
        experiment="shelf",
        user_id="200",
        arm="old",
        asked_s=1_640_359_000,
        accepted_ms=1_640_361_721_500,
        generation=300,
        bucket_s=1_640_358_000,
        rung="own",
        request_id="a-1",
        posts=(17, 2_097_151),
        propensities=(0.5,),
    )

    said = [
        b'[2,2,[["shelf","old",300,1640358000,"own"]]]\n'.hex(),
        2 * ("0000" + "58e4c56100000000" + "9c7e2ded7d010000" + "0300" + "0300" + "0200" + "0100"),
        2 * b"200".hex(),
        2 * b"a-1".hex(),
        2 * "11ff" + 2 * "00ff" + 2 * "001f",
        2 * "000000000000e03f",
    ]
    assert pack([one, one]).hex() == "".join(said)
