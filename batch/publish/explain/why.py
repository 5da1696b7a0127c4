"""What is found out about one post in one user's list, in values and in a sentence. Pure."""

from dataclasses import dataclass
from typing import Any, Literal

from api.contract.buckets import moment
from batch.publish.explain.parts import Parts
from batch.publish.explain.place import Place

# What keeps a post out, in the order that is asked; `absent`: the list lacks it, and nothing tells more.
State = Literal["listed", "unknown", "taken_down", "seen", "closed", "no_list", "capped", "ranked", "absent"]


@dataclass(frozen=True, slots=True)
class Why:
    """Why a post is in a user's list, or is not.

    Attributes:
        user_id: As JSON has it; so is `post_id`.
        post_id: See `user_id`.
        generation: Which answers the time.
        at_s: The time asked for, epoch seconds.
        bucket_s: Its bucket's start.
        state: Where the post stands, or the first thing that keeps it out.
        n_listed: How many posts the user's list has.
        place: The post's own, 1 first, as the store has the list; None where it is not there.
        seen_s: When the user saw it first; None: not by now.
        found: What the stored inputs say; None where there are none of this user and this post.
        parts: Of the score, one row; None as `found`.
        evidence: Posts that the user liked, nearest first, and how near they are.
        lacking: Why there are no parts; empty where there are.
    """

    user_id: int | str
    post_id: int | str
    generation: int
    at_s: int
    bucket_s: int
    state: State
    n_listed: int
    place: int | None = None
    seen_s: int | None = None
    found: Place | None = None
    parts: Parts | None = None
    evidence: tuple[tuple[int | str, int], ...] = ()
    lacking: str = ""

    def sentence(self) -> str:
        """Say where the post stands, or why it does not."""
        post, user, found = f"post {self.post_id}", f"user {self.user_id}", self.found
        seen = "" if self.seen_s is None else f" on {moment(self.seen_s):%Y-%m-%d at %H:%M}"
        rank = "" if found is None else f"number {found.rank} of {found.n_candidates} by score"
        match self.state:
            case "listed":
                return f"{post} stands at place {self.place} of {self.n_listed} in the list of {user}"
            case "unknown":
                return f"{post} is not offered: generation {self.generation} has it at no time"
            case "taken_down":
                return f"{post} is taken down for everybody"
            case "seen":
                return f"{user} has seen {post}{seen}"
            case "closed":
                return f"{post} may not be shown at {moment(self.at_s):%Y-%m-%d %H:%M}: its window is closed"
            case "no_list":
                return f"{user} has no list of their own: others' posts answer them"
            case "capped":
                return f"{post} is {rank}, and its topic is capped: it stands there often enough"
            case "ranked" if found is not None and found.lacks is not None:
                return f"{post} is {rank}: it lacks {found.lacks:.4f} to place {self.n_listed}, the last"
        return f"{post} is not in the list of {user}"

    def values(self) -> dict[str, Any]:
        """Return all of it for JSON: times as ISO 8601, parts by family, name and value."""
        found, parts = self.found, self.parts
        return {
            "user_id": self.user_id,
            "post_id": self.post_id,
            "generation": self.generation,
            "at": moment(self.at_s).isoformat(),
            "bucket": moment(self.bucket_s).isoformat(),
            "state": self.state,
            "says": self.sentence(),
            "place": self.place,
            "n_listed": self.n_listed,
            "seen_at": None if self.seen_s is None else moment(self.seen_s).isoformat(),
            "rank": None if found is None else found.rank,
            "n_candidates": None if found is None else found.n_candidates,
            "score": None if found is None else found.score,
            "last_score": None if found is None else found.last,
            "lacks": None if found is None else found.lacks,
            "families": None if parts is None else {k: float(v[0]) for k, v in parts.families().items()},
            "parts": None
            if parts is None
            else [
                {"family": family, "name": name, "value": float(value)}
                for (family, name), value in zip(parts.names, parts.values[0], strict=True)
            ],
            "evidence": [{"post_id": post, "near": near} for post, near in self.evidence],
            "lacking": self.lacking,
        }
