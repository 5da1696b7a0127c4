"""Shards by way of object storage: a moto server on loopback, spoken to by s3fs."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import redis

from batch.publish.publish import publish
from batch.publish.sharded.place import PlaceFailed, PreparedSpoilt, open_place
from batch.publish.sharded.seal import seal_shards
from tests.content import blocks, config, content, generations, with_text_ids
from tests.sharding import inputs_of, keep, prepared, scorer, told, written

pytest.importorskip("s3fs", reason="s3fs is not installed: `make test-cluster` has it")
pytest.importorskip("moto", reason="moto is not installed: `make test-cluster` has it")
pytestmark = pytest.mark.integration
BUCKET = "s3://nights/almanac"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the URL of a folder in a bucket of a server that lives as long as the test."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-tests")
    monkeypatch.setattr("fsspec.config.conf", {"s3": {"endpoint_url": f"http://{host}:{port}"}})
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()  # one memory a process
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("nights")
    yield BUCKET
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def keys() -> list[str]:
    """Return what the bucket holds."""
    import s3fs

    return sorted(s3fs.S3FileSystem(use_listings_cache=False).find("nights"))


def test_shards_by_way_of_object_storage_make_what_one_run_makes(
    bucket: str, store: redis.Redis, tmp_path: Path
) -> None:
    of = with_text_ids(content())
    one = publish(
        generations(store), of, blocks(of), config(tmp_path / "whole"), inputs=inputs_of(of), keep=keep
    )
    store.flushall()

    begun = prepared(store, of, tmp_path, to=bucket)
    assert [
        key for key in keys() if key.startswith(f"nights/almanac/prepared-1-{begun.place[-8:]}/slices/3/")
    ]
    for shard in (2, 3, 1):
        written(store, begun, shard, scorer(of), tmp_path)
    made = seal_shards(generations(store), "default", None, config(tmp_path / "generations"))

    assert (made.root, told(made)) == (one.root, told(one))
    assert keys() == []


def test_an_object_that_was_changed_is_refused(bucket: str, store: redis.Redis, tmp_path: Path) -> None:
    import s3fs

    begun = prepared(store, content(), tmp_path, to=bucket)
    s3fs.S3FileSystem().pipe(f"{begun.place}/inputs/model.txt", b"another")

    with pytest.raises(PreparedSpoilt, match=r"model.txt is not what was prepared"):
        written(store, begun, 1, scorer(content()), tmp_path)


def test_a_bucket_that_is_not_there_is_said(bucket: str, store: redis.Redis, tmp_path: Path) -> None:
    with pytest.raises(
        PlaceFailed, match=r"cannot be reached at s3://elsewhere/.*rights to that object storage"
    ):
        prepared(store, content(), tmp_path, to="s3://elsewhere/nights")

    assert generations(store).states() == {1: "retired"}


def test_only_what_was_prepared_is_ever_removed(bucket: str) -> None:
    with pytest.raises(AssertionError, match="is no folder of a prepared generation"):
        open_place(bucket).remove()
