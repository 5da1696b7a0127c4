"""The frozen state that shards work from, as folders of files: Parquet, JSON, text and arrays without pickle.

content/        posts and what all users share; the manifest as it was drafted
inputs/         the model, and what of the features is not a user's
whole/          all users and their features, for the seal
frozen/         what later refreshes hold fast to, for the seal
slices/<i>/     the users of a shard, their features, what they have seen and liked
parts/<i>-…/    what an attempt at a shard has left; see `shard`
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import orjson

from api.contract.manifest import Manifest
from batch.arrays import Ints
from batch.data.seen import SeenTimes
from batch.learn.explore import NewPosts, Weighed
from batch.publish.content_files import read_content, save_shared, save_users
from batch.publish.folder import GenerationFolder
from batch.publish.generation import GenerationContent
from batch.publish.proof.inputs import Inputs, digest, load
from batch.publish.publish import Keep
from batch.publish.sharded.ledger import Prepared
from batch.publish.sharded.place import Files, Place

CONTENT, INPUTS, WHOLE, FROZEN = "content", "inputs", "whole", "frozen"
_EXPLORED, _NUMBERS, _FEATURES = "explored.json", "numbers.npy", "features.parquet"
_TIMES = ("start", "post", "time")  # of SeenTimes


def slice_name(shard: int) -> str:
    """Return the name of a shard's users."""
    return f"slices/{shard}"


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """Give an empty folder beside those of generations, which is removed at the end."""
    folder = root.parent / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as name:
        yield Path(name)


def put_state(
    place: Place, work: Path, content: GenerationContent, inputs: Inputs, keep: Keep, prepared: Prepared
) -> tuple[dict[str, Files], int]:
    """Write all that shards and the seal need into a place, a folder at a time.

    Args:
        place: Where to.
        work: An empty folder.
        content: With the numbers of its posts.
        inputs: What lists are computed from.
        keep: Writes what later refreshes need.
        prepared: Says how users are cut.

    Returns:
        Each folder's files; bytes of all of them.
    """
    files, n_bytes = dict[str, Files](), 0

    def put(name: str) -> None:
        nonlocal n_bytes
        paths = list((work / name).iterdir())
        n_bytes += sum(path.stat().st_size for path in paths)
        files[name] = place.put(paths, name)

    _save_content(work / CONTENT, content, prepared.generation)
    inputs.save(work / INPUTS)
    _save_people(work / WHOLE, content)
    (work / INPUTS / "users.parquet").rename(work / WHOLE / _FEATURES)
    keep(GenerationFolder(work))
    for name in (CONTENT, INPUTS, WHOLE, FROZEN):
        put(name)
    for shard in range(1, prepared.n_shards + 1):
        rows, name = np.arange(*prepared.span(shard)), slice_name(shard)
        _save_people(work / name, _of_users(content, rows))
        inputs.part(rows).save_users(work / name / _FEATURES)
        for what, times in (("views", content.views), ("likes", content.likes)):
            _save_times(work / name / f"{what}.npz", times.of_users(rows))
        put(name)
    return files, n_bytes


def fetch_slice(place: Place, work: Path, prepared: Prepared, shard: int) -> tuple[GenerationContent, Inputs]:
    """Bring a shard's state into an empty folder and read it; its users count from 0."""
    content, folder = _fetch(place, work, prepared, slice_name(shard), work / INPUTS)
    views, likes = (_load_times(folder / f"{what}.npz") for what in ("views", "likes"))
    return replace(content, views=views, likes=likes), load(work / INPUTS, None, digest(work / INPUTS))


def fetch_whole(place: Place, work: Path, prepared: Prepared, target: GenerationFolder) -> GenerationContent:
    """Bring all that the seal needs into an empty folder, inputs and frozen parts into the generation's own.

    Returns:
        The content of all users, who have seen nothing: shards have written what they saw.
    """
    content, _ = _fetch(place, work, prepared, WHOLE, target.inputs)
    place.fetch(FROZEN, prepared.files[FROZEN], target.frozen)
    return content


def _fetch(
    place: Place, work: Path, prepared: Prepared, people: str, inputs: Path
) -> tuple[GenerationContent, Path]:
    for name, folder in ((CONTENT, work / CONTENT), (INPUTS, inputs), (people, work / people)):
        place.fetch(name, prepared.files[name], folder)
    (work / people / _FEATURES).rename(inputs / "users.parquet")
    return _load_content(work / CONTENT, work / people), work / people


def _save_people(folder: Path, content: GenerationContent) -> None:
    folder.mkdir(parents=True)
    save_users(GenerationFolder(folder), content)


def _of_users(content: GenerationContent, rows: Ints) -> GenerationContent:
    """Return a content of some users, who have seen nothing."""
    users, nothing = content.user_ids[rows], SeenTimes.none(len(rows))
    segments = [content.segment_of[row] for row in rows.tolist()]
    return replace(content, user_ids=users, segment_of=segments, views=nothing, likes=nothing)


def _save_content(folder: Path, content: GenerationContent, generation: int) -> None:
    folder.mkdir()
    target = GenerationFolder(folder)
    save_shared(target, content)
    target.manifest.write_bytes(content.draft(generation, 0).to_json())
    if content.numbers is not None:
        np.save(folder / _NUMBERS, content.numbers, allow_pickle=False)
    if content.explored is not None:
        weights = {
            name: (one.post.tolist(), one.weight.tolist()) for name, one in content.explored.weights.items()
        }
        about = {"n_places": content.explored.n_places, "n_new": content.explored.n_new, "weights": weights}
        (folder / _EXPLORED).write_bytes(orjson.dumps(about))


def _load_content(folder: Path, people: Path) -> GenerationContent:
    source = GenerationFolder(folder)
    manifest = Manifest.from_json(source.manifest.read_bytes())
    content = read_content(source, GenerationFolder(people), manifest)
    if (folder / _NUMBERS).is_file():
        content = replace(content, numbers=np.load(folder / _NUMBERS, allow_pickle=False))
    if (folder / _EXPLORED).is_file():
        about = orjson.loads((folder / _EXPLORED).read_bytes())
        weights = {
            name: Weighed(np.array(posts, np.int32), np.array(weights))
            for name, (posts, weights) in about["weights"].items()
        }
        content = replace(content, explored=NewPosts(about["n_places"], about["n_new"], weights))
    return content


def _save_times(path: Path, times: SeenTimes) -> None:
    with path.open("wb") as file:
        np.savez(file, **{name: getattr(times, name) for name in _TIMES})


def _load_times(path: Path) -> SeenTimes:
    with np.load(path, allow_pickle=False) as file:
        return SeenTimes(*(file[name] for name in _TIMES))
