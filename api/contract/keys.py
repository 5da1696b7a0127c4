"""Every key in Redis, spelled once. `redis/KEYS.md` describes each; a test ties the two together.

A user's keys share the hash tag `{user}`, so that they lie in one slot of a cluster. There all other keys
share the tag `{prefix}`: what changes in one step lies in one slot, too. The user is the id in its canonical
form, quoted; see `ids.py`.
"""

from dataclasses import dataclass

from api.contract.ids import quote

SCHEMA = 1
DEFAULT_PREFIX = "almanac"
SEGMENT_FIELD = "segment"  # in a user's list hash, beside the bucket starts
SESSION_FIELD = ""  # in a user's session hash, beside the topics: what they weigh


Id = int | str  # a user's, in its canonical form


def _tag(user_id: Id) -> str:
    return f"{{{quote(str(user_id))}}}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of all keys under one prefix.

    >>> Keys().list(200, 42), Keys().seen("ann smith")
    ('almanac:1:list:{200}:42', 'almanac:1:seen:{ann%20smith}')
    >>> Keys(in_cluster=True).list(200, 42), Keys(in_cluster=True).states()
    ('almanac:1:list:{200}:42', '{almanac}:1:states')
    """

    prefix: str = DEFAULT_PREFIX
    in_cluster: bool = False

    def _key(self, *parts: object) -> str:
        prefix = f"{{{self.prefix}}}" if self.in_cluster else self.prefix
        return ":".join([prefix, str(SCHEMA), *map(str, parts)])

    def _of_user(self, what: str, user_id: Id, *rest: object) -> str:
        return ":".join([self.prefix, str(SCHEMA), what, _tag(user_id), *map(str, rest)])

    @property
    def obsolete(self) -> tuple[str, ...]:
        """Return keys that earlier versions wrote and nobody reads any more."""
        return (self._key("learnt"),)

    def current(self, variant: str) -> str:
        """HASH generation, previous, promoted_at: what is served under a variant's name.

        `since`: the first promotion ever. `past`: the first second that a generation of `past` answers.
        """
        return self._key("current", variant)

    def promotions(self, variant: str) -> str:
        """ZSET of what was served when: member `<number> <generation> <why>` by its first epoch second."""
        return self._key("promotions", variant)

    def counter(self) -> str:
        """STRING: the newest generation's number; the next run takes the one after it."""
        return self._key("counter")

    def states(self) -> str:
        """HASH generation number to building, sealed, retired or quarantined."""
        return self._key("states")

    def lease(self) -> str:
        """STRING with TTL: who may publish now."""
        return self._key("lease")

    def manifest(self, generation: int) -> str:
        """STRING: the generation's own description, JSON."""
        return self._key("manifest", generation)

    def shards(self, generation: int) -> str:
        """HASH of what shards write: `about` to what was prepared, a shard's number to what it left."""
        return self._key("shards", generation)

    def shard(self, generation: int, shard: int) -> str:
        """STRING with TTL: who may write a shard of users now."""
        return self._key("shard", generation, shard)

    def users(self, generation: int) -> str:
        """STRING: quoted ids of the users with a list, a blank between: what clearing a generation needs."""
        return self._key("users", generation)

    def list(self, user_id: Id, generation: int) -> str:
        """HASH bucket start to posts' numbers, best first; field `segment` names the user's segment."""
        return self._of_user("list", user_id, generation)

    def topics(self, user_id: Id, generation: int) -> str:
        """HASH topic to posts' numbers, best first: the user's own lists of their best topics."""
        return self._of_user("topics", user_id, generation)

    def popular(self, generation: int) -> str:
        """HASH bucket start to posts' numbers: what an unknown user gets."""
        return self._key("popular", generation)

    def segment(self, generation: int, name: str) -> str:
        """HASH bucket start to posts' numbers, popular in a segment of users."""
        return self._key("segment", generation, name)

    def profiles(self, generation: int) -> str:
        """STRING: signatures of the profiles that have a list, as text: what clearing needs to know."""
        return self._key("profiles", generation)

    def profile(self, generation: int, signature: str) -> str:
        """HASH bucket start to posts' numbers: the model's list for whom only the profile is known of."""
        return self._key("profile", generation, signature)

    def catalogue(self, generation: int) -> str:
        """STRING: the number of every post of the generation, most popular first."""
        return self._key("catalogue", generation)

    def posts(self, generation: int) -> str:
        """HASH a post's number to the post as the API answers it, JSON."""
        return self._key("posts", generation)

    def facets(self, generation: int) -> str:
        """HASH `<column>=<value>` to the numbers of the posts that have it, most popular first."""
        return self._key("facets", generation)

    def windows(self, generation: int) -> str:
        """HASH a post's number to when it may be answered, `<from>,<to>`; of posts with a window only."""
        return self._key("windows", generation)

    def explore(self, generation: int) -> str:
        """HASH a segment, `*` or `?` to posts' numbers with weights: what exploration places draw from."""
        return self._key("explore", generation)

    def similar(self, generation: int) -> str:
        """HASH a post's number to the numbers of the posts most like it, nearest first."""
        return self._key("similar", generation)

    def seen(self, user_id: Id) -> str:
        """ZSET a post's number by the earliest epoch second at which the user saw it."""
        return self._of_user("seen", user_id)

    def likes(self, user_id: Id) -> str:
        """ZSET a post's number by the earliest epoch second at which the user liked it."""
        return self._of_user("likes", user_id)

    def seen_live(self, user_id: Id) -> str:
        """ZSET post id by time like `seen`, of live events: a look finds those that no list left out."""
        return self._of_user("seen", user_id, "live")

    def likes_live(self, user_id: Id) -> str:
        """ZSET post id like `likes`, of events accepted live."""
        return self._of_user("likes", user_id, "live")

    def seen_old(self, user_id: Id) -> str:
        """STRING: pairs that the batch has taken out of `seen`, as `seen.py` packs them."""
        return self._of_user("seen", user_id, "old")

    def likes_old(self, user_id: Id) -> str:
        """STRING like `seen_old`, of `likes`."""
        return self._of_user("likes", user_id, "old")

    def session(self, user_id: Id) -> str:
        """HASH topic to likes, posts shown and the latest event's second: what a user did lately.

        The field without a name has the weights that follow: the latest second of all, and topics' weights.
        """
        return self._of_user("session", user_id)

    def gone(self, user_id: Id) -> str:
        """STRING with TTL, in a cluster: the user was forgotten just now, so nothing of them is written."""
        return self._of_user("gone", user_id)

    def folded(self) -> str:
        """STRING: the second up to which `seen_old` and `likes_old` may have what was seen and liked."""
        return self._key("folded")

    def ids(self) -> str:
        """HASH a post's number to its id as the table spells it; where none is, the number is the id."""
        return self._key("ids")

    def numbers(self) -> str:
        """HASH a post's id, in its canonical form, to its number: the other way round."""
        return self._key("numbers")

    def past(self, variant: str) -> str:
        """ZSET of generations made for times before anything was served: number by its first second."""
        return self._key("past", variant)

    def state_log(self) -> str:
        """ZSET of quarantines: `<second> <generation> quarantined <who>` by its second, quoted."""
        return self._key("states", "log")

    def takedowns(self) -> str:
        """SET of post ids that no answer may hold."""
        return self._key("takedowns")

    def takedown_log(self) -> str:
        """ZSET of takedowns and ends: `<milliseconds> <post> <down or up> <who>`, quoted, by its second."""
        return self._key("takedowns", "log")

    def pins(self) -> str:
        """HASH a pinned post's id, in its canonical form, to its pin, JSON: see `pin.py`."""
        return self._key("pins")

    def pin_log(self) -> str:
        """ZSET of pins and their ends: `<milliseconds> <post> <who> <JSON or removed>`, quoted, by second."""
        return self._key("pins", "log")

    def experiments(self) -> str:
        """HASH an experiment's name to the experiment, JSON: see `experiment.py`."""
        return self._key("experiments")

    def experiment_log(self) -> str:
        """ZSET of what was done to experiments: `<milliseconds> <who> <what> <name>` by its second."""
        return self._key("experiments", "log")

    def exposures(self) -> str:
        """STREAM of records of experiments' answers that the batch has not drained yet: see `exposure.py`."""
        return self._key("exposures")

    def events(self) -> str:
        """STREAM of live events that the batch has not drained yet."""
        return self._key("events")

    def event(self, event_id: str) -> str:
        """STRING with TTL: that an event was accepted, and by which attempt."""
        return self._key("event", event_id)

    def runs_now(self) -> str:
        """STRING with TTL: the run that goes on, JSON."""
        return self._key("runs", "now")

    def runs_asked(self) -> str:
        """STREAM with TTL of runs that are asked for over HTTP, and of ends of runs."""
        return self._key("runs", "asked")

    def runs_status(self, run_id: str) -> str:
        """STRING with TTL: what is known of a run, JSON."""
        return self._key("runs", "status", run_id)

    def forgotten(self) -> str:
        """SET of the tombstones of forgotten users, of whom nothing may be written any more."""
        return self._key("forgotten")

    def forgotten_key(self) -> str:
        """STRING: the key of the tombstones; a copy of the one in the state folder."""
        return self._key("forgotten", "key")
