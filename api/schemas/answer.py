"""What answers look like."""

from datetime import datetime

from pydantic import BaseModel, Field

from api.contract.buckets import Label
from api.feed import Reason, Rung
from api.found import Degraded
from api.similar import Step


class Post(BaseModel):
    """A post, as it is answered."""

    id: int | str
    text: str
    topic: str


class Grouped(BaseModel):
    """A user's posts, best first, beside their group in an experiment."""

    exp_group: str = Field(description="Of two arms `control` and `test`, of more the arm's name.")
    recommendations: list[Post]


class Feed(BaseModel):
    """A page of a user's feed, and where it comes from."""

    user_id: int | str
    at: datetime
    variant: str
    generation: int
    bucket: datetime
    time: Label
    rung: Rung
    degraded: Degraded
    underfill: Reason | None
    posts: list[Post]
    next: str | None
    pinned: list[int | str] = Field([], description="Posts that are pinned to their places, by place.")
    explored: list[int | str] = Field(
        [], description="Posts that were drawn for exploration places, by place."
    )


class Similar(BaseModel):
    """Posts like a post, and where they come from."""

    post_id: int | str
    variant: str
    generation: int
    rung: Step
    degraded: Degraded
    underfill: Reason | None
    posts: list[Post]


class Ready(BaseModel):
    """What is being served."""

    variant: str
    generation: int
    as_of: datetime
    n_posts: int


class Health(BaseModel):
    """The process runs."""

    status: str


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str
