"""A small feed that changes between two runs: events, profiles, users, posts come, go, are corrected."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import redis

from api.contract.buckets import DAY_S
from api.contract.ids import Kind
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.data.facts import Facts, Shown
from batch.data.windows import Windows
from batch.features import asof
from batch.jobs.assemble import assemble_publication, score_lists
from batch.jobs.refresh.digests import InputDigests, compare, digest_inputs
from batch.jobs.refresh.frozen import Frozen, freeze
from batch.jobs.refresh.plan import plan_refresh
from batch.learn.recipe import Recipe
from batch.learn.train import train
from batch.learn.trees import fit, parameters_for
from batch.publish.config import PublishConfig
from batch.publish.folder import GenerationFolder
from batch.publish.proof.inputs import INPUTS, load
from batch.publish.publish import publish
from batch.publish.store import GenerationStore
from batch.settings import Settings
from tests.facts import with_texts

BEGIN_S = 1_640_000_000
AS_OF_S = BEGIN_S + 6 * DAY_S
N_USERS, N_POSTS, N_EVENTS = 90, 70, 3_000
TOPICS = ("movie", "sport", "tech")
WORDS = tuple(f"word{k}" for k in range(40))  # so many that none stands in half of the texts


@dataclass(slots=True)
class Feed:
    """Tables of a feed, by id. Events are rows of user, post, time, action, target.

    `windows` are of posts that have one, by id.
    """

    users: pd.DataFrame
    posts: pd.DataFrame
    events: np.ndarray
    rng: np.random.Generator
    kind: Kind = "numbers"
    zone: str = ""
    shown: Shown = "impressions"
    windows: dict[int, tuple[int | None, int | None]] = field(default_factory=dict)

    @classmethod
    def drawn(cls, seed: int, kind: Kind = "numbers") -> "Feed":
        """Draw a feed of six days; of `text`, its facts have texts as ids."""
        rng = np.random.default_rng(seed)
        users = pd.DataFrame(
            {
                "user_id": np.sort(rng.choice(1000, N_USERS, replace=False)),
                "gender": rng.integers(0, 2, N_USERS).astype(float),
                "age": rng.integers(14, 80, N_USERS).astype(float),
                "city": rng.choice(["Minsk", "Omsk", "Perm"], N_USERS),
            }
        )
        posts = pd.DataFrame({"post_id": np.sort(rng.choice(5000, N_POSTS, replace=False))})
        posts["topic"] = rng.choice(TOPICS, N_POSTS)
        posts["tags"] = [tags(post) for post in posts["post_id"]]
        posts["text"] = [text(rng) for _ in range(N_POSTS)]
        feed = cls(users, posts, np.empty((0, 5), np.int64), rng, kind)
        feed.happen(N_EVENTS, BEGIN_S, AS_OF_S)
        feed.events[-1, 2] = AS_OF_S
        return feed

    def happen(self, n: int, start_s: int, end_s: int, users: np.ndarray | None = None) -> None:
        """Let some users see posts, and like some of them."""
        chosen = self.users["user_id"].to_numpy() if users is None else users
        user, post = self.rng.choice(chosen, n), self.rng.choice(self.posts["post_id"].to_numpy(), n)
        time = self.rng.integers(start_s, end_s, n)
        liked = (self.rng.random(n) < np.where(post % 3 == user % 3, 0.5, 0.1)).astype(np.int64)
        views = np.column_stack([user, post, time, np.zeros(n, np.int64), liked])
        likes = views[liked == 1] + np.array([0, 0, 5, 1, -1])
        self.events = np.concatenate([self.events, views, likes])

    def facts(self) -> Facts:
        """Return the feed as facts."""
        user_ids, post_ids = self.users["user_id"].to_numpy(), self.posts["post_id"].to_numpy()
        user, post, time, action, target = self.events.T
        kept = np.isin(user, user_ids) & np.isin(post, post_ids)
        rows = np.unique(np.column_stack([time, user, post, action, target])[kept], axis=0)
        first = np.ones(len(rows), bool)
        first[1:] = (rows[1:, :4] != rows[:-1, :4]).any(axis=1)
        rows = rows[first]
        windows = Windows.of_sides([self.windows.get(post, (None, None)) for post in post_ids.tolist()])
        facts = Facts(
            users=self.users.reset_index(drop=True),
            posts=self.posts.reset_index(drop=True).assign(**windows.frame()),
            embeddings=None,
            user=np.searchsorted(user_ids, rows[:, 1]).astype(np.int32),
            post=np.searchsorted(post_ids, rows[:, 2]).astype(np.int32),
            time=rows[:, 0],
            action=rows[:, 3].astype(np.int8),
            target=rows[:, 4].astype(np.int8),
            zone=self.zone,
            shown=self.shown,
        )
        return with_texts(facts) if self.kind == "text" else facts

    # What may change, each by its name.

    def new_events(self) -> None:
        """A few users go on; times are later than all before, within the horizon."""
        self.happen(30, AS_OF_S + 1, AS_OF_S + 7200, self.some(8))

    def late_events(self) -> None:
        """Events of the past are known only now."""
        self.happen(20, BEGIN_S, AS_OF_S, self.some(5))

    def lost_events(self) -> None:
        """Events are taken back."""
        gone = np.isin(self.events[:, 0], self.some(3)) & (self.events[:, 2] < AS_OF_S)
        self.events = self.events[~(gone & (self.rng.random(len(gone)) < 0.5))]

    def late_likes(self) -> None:
        """Views turn out to have been liked."""
        views = np.flatnonzero((self.events[:, 3] == 0) & np.isin(self.events[:, 0], self.some(4)))
        self.events[self.rng.choice(views, min(5, len(views)), replace=False), 4] = 1

    def profiles(self) -> None:
        """Users move, age, or come under a value that nobody had."""
        at = self.rng.choice(len(self.users), 4, replace=False)
        self.users.loc[at[:2], "city"] = ["Pinsk", "Omsk"]
        self.users.loc[at[2], "age"] = np.nan
        self.users.loc[at[3], "gender"] = 1 - self.users.loc[at[3], "gender"]

    def new_users(self) -> None:
        """Users come, one of them without a profile, one without an event."""
        ids = np.setdiff1d(self.rng.integers(0, 2000, 5), self.users["user_id"])[:3]
        rows = pd.DataFrame({"user_id": ids, "gender": 1.0, "age": 30.0, "city": "Omsk"})
        rows.loc[0, ["gender", "age", "city"]] = [np.nan, np.nan, None]
        self.users = pd.concat([self.users, rows]).sort_values("user_id").reset_index(drop=True)
        self.happen(12, AS_OF_S + 1, AS_OF_S + 7200, ids[1:])

    def gone_users(self) -> None:
        """Users are deleted."""
        self.users = self.users[~self.users["user_id"].isin(self.some(2))].reset_index(drop=True)

    def new_posts(self) -> None:
        """Posts come, somewhere among the ids there are; one of them is shown at once."""
        ids = np.setdiff1d(self.rng.integers(0, 6000, 6), self.posts["post_id"])[:3]
        rows = pd.DataFrame(
            {
                "post_id": ids,
                "topic": self.rng.choice(TOPICS, len(ids)),
                "text": [text(self.rng) for _ in ids],
            }
        )
        self.posts = pd.concat([self.posts, rows]).sort_values("post_id").reset_index(drop=True)
        user = self.some(1)[0]
        self.events = np.concatenate([self.events, [[user, ids[0], AS_OF_S + 9, 0, 0]]])

    def edited_posts(self) -> None:
        """Posts get another text, one another topic, and one another tag."""
        at = self.rng.choice(len(self.posts), 2, replace=False)
        self.posts.loc[at, "text"] = [text(self.rng), text(self.rng)]
        self.posts.loc[at[0], "topic"] = self.rng.choice(TOPICS)
        self.posts.at[at[1], "tags"] = ("edited",)

    def edited_windows(self) -> None:
        """A few posts get another window, one has none any more; some are not offered by it, or are again."""
        hour = 3600
        for post in self.rng.choice(self.posts["post_id"].to_numpy(), 6, replace=False).tolist():
            from_s = AS_OF_S + hour * int(self.rng.integers(-8, 6)) + int(self.rng.integers(0, 2))
            to_s = from_s + hour * int(self.rng.integers(1, 9))
            sides = [(from_s, to_s), (from_s, None), (None, to_s)]
            self.windows[post] = sides[self.rng.integers(0, len(sides))]
        self.windows.pop(int(self.rng.choice(list(self.windows))))

    def some(self, n: int) -> np.ndarray:
        """Draw users."""
        return self.rng.choice(self.users["user_id"].to_numpy(), n, replace=False)


def text(rng: np.random.Generator) -> str:
    """Draw a text."""
    return " ".join(rng.choice(WORDS, 12))


def tags(post: int) -> tuple[str, ...] | None:
    """Return what a post is tagged with: nothing, one or two of a few."""
    return tuple({f"by-{post % 3}", f"at-{post % 5}"} - {"at-1", "at-2", "by-0"}) or None


def settings_of(folder: Path, prefix: str) -> Settings:
    """Return settings of lists of a dozen posts for four hours."""
    return Settings(
        state_dir=folder / prefix,
        prefix=prefix,
        depth=12,
        n_buckets=4,
        segment_by="gender",
        filter_by="topic,tags",
        topic_depth=3,
        n_trees=12,
        n_leaves=8,
        gate="off",
        threads=1,
    )


def full_run(store: redis.Redis, settings: Settings, facts: Facts) -> Manifest:
    """Describe, train, score and publish, as a run does, and keep what a refresh needs.

    The trees start from nothing, unlike a run's: so they have much to say, of new posts too.
    """
    known, made_by = asof.describe(facts, settings.seed), Recipe.of(settings)
    made = train(facts, known, facts.as_of_s, made_by)
    parameters = parameters_for(len(made.rows.y), made_by.n_leaves, made_by.seed, made_by.threads)
    alone = fit(made.rows.x, made.rows.y, known.features, parameters, made_by.n_trees)
    model = replace(made.model, text=alone.model_to_string())
    full = assemble_publication(settings, facts, known, model, facts.as_of_s)
    return publish(
        GenerationStore(store, Keys(settings.prefix)),
        full.content,
        full.lists,
        config_of(settings),
        inputs=full.inputs,
        keep=freeze(facts, known, full, digest_inputs(facts)),
    )


def config_of(settings: Settings) -> PublishConfig:
    """Return how the feed is published: without gate and memory plan."""
    now_s = AS_OF_S + 60
    folder = settings.state_dir / "generations"
    how = PublishConfig(folder, settings.list_ttl_s, kept=2, now=lambda: now_s, layout=settings.layout)
    return replace(how, sleep_days=settings.sleep_days)


def whole_on_frozen(store: redis.Redis, settings: Settings, base: Manifest, facts: Facts) -> Manifest:
    """Compute every user's features again on the frozen parts, score everything, publish everything."""
    folder = GenerationFolder.of(settings.state_dir / "generations", base.generation)
    before = InputDigests.load(folder.frozen)
    changes = compare(before, digest_inputs(facts))
    inputs = load(folder.inputs, None, base.checksums[INPUTS])
    everyone = replace(changes, users=np.ones(len(facts.users), np.bool_))
    planned = plan_refresh(base, Frozen.load(folder.frozen), inputs, facts, everyone)
    return publish(
        GenerationStore(store, Keys(settings.prefix)),
        planned.content,
        score_lists(settings, planned.inputs, planned.content.depth),
        config_of(settings),
        inputs=planned.inputs,
    )
