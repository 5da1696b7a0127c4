"""What a training found that stands for some nights: weights, trees, and what their features mean.

Of users it holds their profiles' most frequent values alone. One file without pickle, whole or not at all;
zip's own sums tell whether it is as it was written.
"""

import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from api.contract.buckets import DAY_S
from batch.arrays import Ints, Words
from batch.data.columns import POST_ID, USER_ID
from batch.data.facts import Facts, Shown
from batch.data.rows import find_rows
from batch.features.asof import Statics, join_statics
from batch.features.profile import Codes, encode_by, fits
from batch.features.text import OF_POSTS, Map, Texts, Unplaceable, describe_among
from batch.learn.factors.components import Beginning
from batch.learn.factors.latent_classes import LatentClasses

MOST_GROWN = 1.25  # events, or posts, beside those of the fit: young data teach something else each night
_OF_MAP = ("topic_of_cluster", "centres", "weights", "mean", "axes")  # its arrays


def count_likes(facts: Facts) -> int:
    """Return how many views were liked: facts that have lost their likes must not go by what these taught."""
    return int(facts.target.sum())


class CannotRenew(Exception):
    """What is kept cannot stand for a training tonight; the message says why."""


@dataclass(frozen=True, slots=True)
class KeptFit:
    """A training, as far as it is kept.

    Attributes:
        fitted_s: Its as_of, epoch seconds.
        made_by: What else it depends on, name to digest, such as settings and code.
        n_events: Of its facts.
        n_likes: Among them.
        shown: What a view of them says.
        zone: Whose clocks said the hour of the day.
        weights: Component name to stacking weight.
        trees: LightGBM's text, leaves scaled.
        share: How much of what the trees said is in the leaves.
        compared: Metrics of the model that tell among what its parts were chosen.
        parameters: What LightGBM was given.
        begun: What the estimate of that time began from.
        post_ids: int64 (posts,), ascending.
        post_digests: uint64 (posts,). Of what described each: text, topics, embedding.
        texts: How the posts were described.
        embedded: It was by embeddings that they brought.
        codes: How each profile column was encoded.
    """

    fitted_s: int
    made_by: dict[str, str]
    n_events: int
    n_likes: int
    shown: Shown
    zone: str
    weights: dict[str, float]
    trees: str
    share: float
    compared: dict[str, float]
    parameters: dict[str, Any]
    begun: Beginning
    post_ids: Ints
    post_digests: Words
    texts: Texts
    embedded: bool
    codes: Codes

    def age_days(self, as_of_s: int) -> float:
        """Return how old it is, in days."""
        return (as_of_s - self.fitted_s) / DAY_S

    def require(self, facts: Facts, made_by: dict[str, str], nights: int) -> None:
        """Return if it can stand for a training on these facts, so many nights later at most.

        Raises:
            CannotRenew: It cannot.
        """
        other = [name for name, digest in made_by.items() if self.made_by.get(name) != digest]
        if other:
            raise CannotRenew(f"other {' and '.join(other)} than at the last fit")
        age = round(self.age_days(facts.as_of_s))
        if facts.as_of_s < self.fitted_s or age > nights:
            raise CannotRenew(f"the last fit is {age} days old, and {nights} nights may go by it")
        for what, was, now in (
            ("events", self.n_events, len(facts.time)),
            ("likes", self.n_likes, count_likes(facts)),
        ):
            if not was / MOST_GROWN <= now <= was * MOST_GROWN:
                raise CannotRenew(f"there are {now} {what}, at the last fit {was}")
        if (facts.shown, facts.zone) != (self.shown, self.zone):
            raise CannotRenew(f"views are {facts.shown} in zone {facts.zone or 'UTC'}, as at no fit before")
        columns = [name for name in facts.users.columns if name != USER_ID]
        if columns != list(self.codes):
            raise CannotRenew(f"profiles have the columns {columns}, at the last fit {list(self.codes)}")
        for name, of in self.codes.items():
            if not fits(facts.users[name], of):
                raise CannotRenew(f"profile column {name!r} holds other values than at the last fit")
        if self.embedded != (facts.embeddings is not None):
            raise CannotRenew("posts have embeddings now and had none at the last fit, or the reverse")

    def describe(self, facts: Facts, digests: Words) -> Statics:
        """Describe users and posts as at the fit; posts that are new or edited are placed among the others.

        Args:
            facts: Of tonight, which `require` has let pass.
            digests: uint64 (posts,). Of what describes each post.

        Raises:
            CannotRenew: A post is like none of the others, or too many are new.
        """
        row = find_rows(self.post_ids, facts.post_ids)
        same = (row >= 0) & (self.post_digests[row] == digests)
        if len(same) > same.sum() * MOST_GROWN:
            raise CannotRenew(f"{(~same).sum()} of {len(same)} posts are new since the last fit, or edited")
        posts = facts.posts.assign(**{POST_ID: facts.post_names.spelled(facts.post_ids)})
        try:
            texts = describe_among(posts, facts.embeddings, self.texts, np.where(same, row, -1))
        except Unplaceable as exc:
            raise CannotRenew(str(exc)) from exc
        return join_statics(encode_by(facts.users, self.codes), texts)

    def begun_of(self, facts: Facts) -> Beginning:
        """Return what the estimate of that time began from, by the rows of these facts' posts."""
        return self.begun.of_posts(find_rows(self.post_ids, facts.post_ids))

    def save(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        about = {name: getattr(self, name) for name in _ABOUT}
        about |= {"topics": self.texts.map.topics, "words": self.texts.map.words}
        arrays: dict[str, Any] = {
            "about": np.frombuffer(orjson.dumps(about), np.uint8),
            "post_ids": self.post_ids,
            "post_digests": self.post_digests,
            **{name: getattr(self.texts, name) for name in OF_POSTS},
            **{f"map_{name}": getattr(self.texts.map, name) for name in _OF_MAP},
        }
        if self.begun.classes is not None:
            arrays |= {f"class_{name}": value for name, value in asdict(self.begun.classes).items()}
        if self.begun.liked_together is not None:
            arrays["liked_together"] = self.begun.liked_together
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(path.suffix + ".part")
        with part.open("wb") as file:
            np.savez(file, **arrays)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "KeptFit":
        """Read what `save` wrote.

        Raises:
            CannotRenew: Nothing is kept, or it is not as it was written.
        """
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = dict(file)
            return cls._of(orjson.loads(arrays["about"].tobytes()), arrays)
        except FileNotFoundError as exc:
            raise CannotRenew("no fit is kept") from exc
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as exc:
            raise CannotRenew(f"the last fit, {path.name}, cannot be read: {exc}") from exc

    @classmethod
    def _of(cls, about: dict[str, Any], arrays: dict[str, Any]) -> "KeptFit":
        topics, words = tuple(about.pop("topics")), tuple(about.pop("words"))
        of_map = Map(topics=topics, words=words, **{name: arrays[f"map_{name}"] for name in _OF_MAP})
        texts = Texts(
            topic_of_cluster=of_map.topic_of_cluster, map=of_map, **{name: arrays[name] for name in OF_POSTS}
        )
        classes = None
        if "class_share" in arrays:
            classes = LatentClasses(arrays["class_share"], arrays["class_first"])
        return cls(
            **about,
            begun=Beginning(classes, arrays.get("liked_together")),
            post_ids=arrays["post_ids"],
            post_digests=arrays["post_digests"],
            texts=texts,
        )


_ABOUT = (
    *("fitted_s", "made_by", "n_events", "n_likes", "shown", "zone", "weights"),
    *("trees", "share", "compared", "parameters", "embedded", "codes"),
)
