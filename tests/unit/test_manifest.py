"""A manifest across versions: newer fields are ignored, needs are not, what is none is refused."""

from dataclasses import replace

import orjson
import pytest

from api.contract.manifest import Manifest, NeedsMore
from tests.world import World

MANIFEST = World().manifest


def changed(**fields: object) -> bytes:
    """Return the manifest's JSON with some fields changed, or without them where None."""
    raw = {**orjson.loads(MANIFEST.to_json()), **fields}
    return orjson.dumps({name: value for name, value in raw.items() if value is not None})


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert Manifest.from_json(changed(hats=["bowler"], counts_by_hat={"bowler": 3})) == MANIFEST


def test_fields_that_an_older_version_did_not_write_have_their_defaults() -> None:
    older = Manifest.from_json(changed(profile=None, gate=None, metrics=None))

    assert (older.profile, older.gate, older.metrics, older.needs) == ({}, None, {}, ())


def test_needs_are_written_only_where_there_are_some() -> None:
    assert "needs" not in orjson.loads(MANIFEST.to_json())


def test_columns_to_filter_by_stand_among_the_counts_which_every_version_reads() -> None:
    filtered = replace(MANIFEST, counts={"posts": 3, "facets topic": 2, "facets a b": 0})

    assert replace(MANIFEST, counts={}).filter_by == ()
    assert Manifest.from_json(filtered.to_json()).filter_by == ("a b", "topic")
    assert orjson.loads(filtered.to_json()).keys() == orjson.loads(MANIFEST.to_json()).keys()


def test_a_generation_that_needs_more_is_refused_in_one_sentence() -> None:
    with pytest.raises(
        NeedsMore, match="generation 1 needs hats, which this version of Almanac does not know"
    ):
        Manifest.from_json(changed(needs=["hats"]))


@pytest.mark.parametrize("text", [b"[]", b"{}", b"no", changed(features=None), changed(schema=2)])
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"no manifest|schema 2"):
        Manifest.from_json(text)
