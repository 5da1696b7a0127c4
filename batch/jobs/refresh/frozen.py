"""What stays as it was at the last full run, kept in the generation's folder beside the inputs of its lists.

JSON, Parquet and arrays without pickle. The model, the sides and the horizon lie in `inputs` already.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from batch.arrays import Floats, Ints
from batch.data.facts import Facts
from batch.features.asof import Statics
from batch.features.population import Population
from batch.features.profile import Codes
from batch.features.reception import Reception
from batch.features.text import Map
from batch.jobs.assemble import Publication
from batch.jobs.refresh.digests import FrozenMissing, InputDigests
from batch.learn.chosen import columns_of
from batch.learn.factors.cold_start import shared_factors
from batch.learn.trend import Scale, find_scales, find_untaken
from batch.publish.folder import GenerationFolder, link
from batch.publish.generation import GenerationContent, Rows

_JSON, _ARRAYS = "frozen.json", "frozen.npz"
# Which parts are arrays.
_OWN = ("post_ids", "untaken", "post_scores", "popular", "similar", "everybody", "by_cluster")
_OF_TEXTS = ("topic_of_cluster", "centres", "weights", "mean", "axes")
_OF_POPULATION = ("topics", "clusters")


@dataclass(frozen=True, slots=True)
class Frozen:
    """Parts of the last full run. Posts are ids, since rows shift where posts come.

    Attributes:
        as_of_s: The run's newest fact, epoch seconds.
        population: What users' features take from all users.
        reception: What posts' features take from all posts.
        codes: How each profile column is encoded.
        texts: What further posts are placed with.
        embedded: Posts were placed by embeddings.
        post_ids: int64 (posts,), ascending.
        untaken: int64. Posts that nobody had taken; none where a feed showed them.
        post_scores: float64 (posts,). What orders the catalogue.
        popular: int64 (buckets, depth). Popular posts, -1 fills.
        segments: Name to int64 (buckets, depth), popular posts in a segment.
        profiles: Signature to int64 (buckets, depth), posts for unknown users of a profile.
        similar: int32 (posts, any). Rows of the posts most like each, -1 fills.
        everybody: float64 (factors,). The factors of a user who comes later: everybody's mean.
        by_cluster: float64 (text clusters, factors). The factors of a post that comes later.
        zone: The facts' zone, by which hours of the day went.
        n_places: Of so many places one is for exploration; 0: none is.
        n_new: Posts that counted as new.
        weights: A segment's name, `*` or `?` to posts and their weights.
        scales: How recency was counted, by component; empty where a feed showed the posts.
    """

    as_of_s: int
    population: Population
    reception: Reception
    codes: Codes
    texts: Map
    embedded: bool
    post_ids: Ints
    untaken: Ints
    post_scores: Floats
    popular: Ints
    segments: dict[str, Ints]
    profiles: dict[str, Ints]
    similar: Rows
    everybody: Floats
    by_cluster: Floats
    zone: str = ""
    n_places: int = 0
    n_new: int = 0
    weights: dict[str, tuple[list[int], list[float]]] = field(default_factory=dict)
    scales: dict[str, Scale] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write JSON and arrays."""
        folder.mkdir(exist_ok=True)
        common = asdict(self.population)
        about = {
            "as_of_s": self.as_of_s,
            "embedded": self.embedded,
            "population": {name: value for name, value in common.items() if isinstance(value, float)},
            "reception": asdict(self.reception),
            "codes": self.codes,
            "topics": self.texts.topics,
            "words": self.texts.words,
            "segments": list(self.segments),
            "profiles": list(self.profiles),
            "zone": self.zone,
            "scales": {name: asdict(scale) for name, scale in self.scales.items()},
            "explore": {"n_places": self.n_places, "n_new": self.n_new, "weights": self.weights},
        }
        (folder / _JSON).write_bytes(orjson.dumps(about, option=orjson.OPT_INDENT_2))
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _OWN}
        arrays |= {name: getattr(self.texts, name) for name in _OF_TEXTS}
        arrays |= {name: getattr(self.population, name) for name in _OF_POPULATION}
        if self.profiles:
            arrays["profiles"] = np.stack(list(self.profiles.values()))
        arrays |= {f"segment_{k}": rows for k, rows in enumerate(self.segments.values())}
        with (folder / _ARRAYS).open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, folder: Path) -> "Frozen":
        """Read what `save` wrote.

        Raises:
            FrozenMissing: It is not there, or another version wrote it.
        """
        if not (folder / _JSON).is_file() or not (folder / _ARRAYS).is_file():
            raise FrozenMissing(f"{folder.parent} keeps no frozen parts of a full run")
        about = orjson.loads((folder / _JSON).read_bytes())
        with np.load(folder / _ARRAYS, allow_pickle=False) as file:
            arrays = dict(file)
        try:
            return cls._of(about, arrays)
        except (KeyError, TypeError) as exc:
            raise FrozenMissing(
                f"another version of Almanac froze what {folder.parent} keeps: {exc}"
            ) from exc

    @classmethod
    def _of(cls, about: dict[str, Any], arrays: dict[str, Any]) -> "Frozen":
        own, texts, population = (
            {name: arrays[name] for name in names} for names in (_OWN, _OF_TEXTS, _OF_POPULATION)
        )
        return cls(
            as_of_s=about["as_of_s"],
            population=Population(**about["population"], **population),
            reception=Reception(**about["reception"]),
            codes=about["codes"],
            texts=Map(topics=tuple(about["topics"]), words=tuple(about["words"]), **texts),
            embedded=about["embedded"],
            **own,
            segments={name: arrays[f"segment_{k}"] for k, name in enumerate(about["segments"])},
            profiles={name: arrays["profiles"][k] for k, name in enumerate(about["profiles"])},
            zone=about.get("zone", ""),  # frozen before facts had one, all were UTC
            scales={name: Scale(**scale) for name, scale in about["scales"].items()},
            **about.get("explore", {}),
        )


def freeze(
    facts: Facts, statics: Statics, full: Publication, digests: InputDigests
) -> Callable[[GenerationFolder], None]:
    """Return what writes into a full run's folder all that later refreshes hold fast to."""
    content, dense = full.content, full.inputs.dense
    frozen = Frozen(
        as_of_s=content.as_of_s,
        population=full.population,
        reception=full.reception,
        codes=statics.profiles.codes,
        texts=statics.texts.map,
        embedded=facts.embeddings is not None,
        post_ids=content.post_ids,
        untaken=content.post_ids[find_untaken(facts, content.as_of_s)],
        post_scores=full.post_scores,
        popular=_as_ids(content, content.popular),
        segments={name: _as_ids(content, rows) for name, rows in content.segments.items()},
        profiles={name: _as_ids(content, rows) for name, rows in content.profiles.items()},
        similar=np.empty((len(content.post_ids), 0), np.int32)
        if content.similar is None
        else content.similar,
        everybody=dense[0].mean(axis=0) if dense is not None else np.empty(0),
        by_cluster=_place_by_cluster(facts, full),
        zone=facts.zone,
        n_places=content.explored.n_places if content.explored else 0,
        n_new=content.explored.n_new if content.explored else 0,
        weights=_weights_by_id(content),
        scales=find_scales(facts, content.as_of_s, columns_of(content.metrics)),
    )

    def keep(folder: GenerationFolder) -> None:
        frozen.save(folder.frozen)
        digests.save(folder.frozen)

    return keep


def keep_frozen(base: GenerationFolder, folder: GenerationFolder, digests: InputDigests) -> None:
    """Put the base's frozen parts and the digests of newer facts into a refresh's folder."""
    link([base.frozen / name for name in (_JSON, _ARRAYS)], folder.frozen)
    digests.save(folder.frozen)


def _place_by_cluster(facts: Facts, full: Publication) -> Floats:
    """Return what a later post of each text cluster begins with; nothing where users choose what they see.

    There a post's factors say above all how many took it, which `batch.learn.trend` tells of a new one.
    """
    sides, dense = full.inputs.sides, full.inputs.dense
    n_groups = sides.user_group.shape[2]
    if dense is None or facts.shown == "choices":
        return np.zeros((n_groups, 0 if dense is None else dense[1].shape[1]))
    x, y = dense
    return shared_factors(y, x, sides.group, n_groups).astype(np.float32).astype(np.float64)


def _weights_by_id(content: GenerationContent) -> dict[str, tuple[list[int], list[float]]]:
    weights = content.explored.weights if content.explored else {}
    return {name: (content.post_ids[one.post].tolist(), one.weight.tolist()) for name, one in weights.items()}


def _as_ids(content: GenerationContent, rows: Rows) -> Ints:
    """Return posts given by row as ids; -1 stays."""
    return np.where(rows >= 0, content.post_ids[rows], -1)
