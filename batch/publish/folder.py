"""A generation's folder on disk: what lies in it, by which name, and how it comes and goes.

The names `roll.parquet` and `portrait.json` are older than the words for what they hold: folders last longer.
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GenerationFolder:
    """The files of one generation."""

    path: Path

    @classmethod
    def of(cls, root: Path, generation: int) -> "GenerationFolder":
        """Return the folder of a generation among those of `root`."""
        return cls(root / str(generation))

    @property
    def manifest(self) -> Path:
        """Return the manifest, JSON."""
        return self.path / "manifest.json"

    @property
    def inputs(self) -> Path:
        """Return the folder with what the lists were computed from; see `proof.inputs`."""
        return self.path / "inputs"

    @property
    def user_digests(self) -> Path:
        """Return the digests of each user's lists; see `user_digests`."""
        return self.path / "roll.parquet"

    @property
    def stats(self) -> Path:
        """Return what the gate compares the next generation with; see `gate.stats`."""
        return self.path / "portrait.json"

    @property
    def frozen(self) -> Path:
        """Return the folder with what refreshes hold fast to; see `batch.jobs.refresh.frozen`."""
        return self.path / "frozen"

    @property
    def users(self) -> Path:
        """Return the users and segments of a backfilled generation."""
        return self.path / "users.parquet"

    @property
    def posts(self) -> Path:
        """Return the posts of a backfilled generation, and their places in its catalogue."""
        return self.path / "posts.parquet"

    @property
    def shared(self) -> Path:
        """Return the lists of a backfilled generation that are not a user's."""
        return self.path / "shared.parquet"

    @property
    def facets(self) -> Path:
        """Return the facets of a backfilled generation."""
        return self.path / "facets.parquet"

    @property
    def user_names(self) -> Path:
        """Return the ids behind the codes of users; no such file where codes are ids. See `names`."""
        return self.path / "user-names.parquet"

    @property
    def post_names(self) -> Path:
        """Return the ids behind the codes of posts; no such file where codes are ids."""
        return self.path / "post-names.parquet"

    def shard(self, name: str) -> Path:
        """Return the file of a shard's lists with their scores."""
        return self.path / f"{name}.parquet"

    def changed_lists(self, generation: int) -> Path:
        """Return the file of the lists that a refresh wrote.

        >>> GenerationFolder(Path("7")).changed_lists(7).name
        'changed-0000007.parquet'
        """
        return self.path / f"changed-{generation:07d}.parquet"

    def lists(self) -> list[Path]:
        """Return the files of lists, those of refreshes after the whole ones: what comes later counts."""
        return sorted(self.path.glob("lists-*.parquet")) + sorted(self.path.glob("changed-*.parquet"))

    def create(self) -> None:
        """Make the folder, empty; what lies there is of a store that is no more."""
        self.remove()
        self.path.mkdir(parents=True)

    def remove(self) -> None:
        """Remove the folder, if it is there."""
        if self.path.is_dir():
            shutil.rmtree(self.path)

    @property
    def n_bytes(self) -> int:
        """Return how many bytes all files take."""
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())


def link(files: Iterable[Path], folder: Path) -> None:
    """Put files into a folder, made where it is missing: by hard link, or copied where that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        try:
            os.link(path, folder / path.name)
        except OSError:  # another file system, or one without links
            shutil.copy2(path, folder / path.name)
