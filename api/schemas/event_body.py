"""What bodies of events look like, and what became of each: for the documentation, and for our client."""

from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.event import Status


class NewEvent(BaseModel):
    """A post was shown to a user, or liked by them."""

    user_id: int | str
    post_id: int | str
    action: Literal["view", "like"]
    time: str | float | None = Field(
        None,
        description="When: text as `time` of the feed, or epoch seconds (milliseconds from 10^11 on). "
        "Now, if left out. A minute ahead of our clock is now; more is malformed.",
    )
    id: str | int | None = Field(
        None,
        description="Sending the same id again changes nothing. If left out, it is made of the other fields; "
        "without a time it is a new one each time.",
    )


class ShopEvent(BaseModel):
    """A visitor saw an item, put it into the cart, or bought it; the latter two are likes."""

    visitorid: int | str
    itemid: int | str
    event: Literal["view", "addtocart", "transaction"]
    timestamp: str | float | None = None
    transactionid: str | int | None = None
    id: str | int | None = None


class Result(BaseModel):
    """What became of one event."""

    id: str | None
    status: Status = Field(
        description="accepted: recorded; the next request for a time not before the event's does not get "
        "its post. late: the same, but it occurred before the newest fact of what is served. unknown: "
        "the same, but its post is not among those served. duplicate: it was recorded before, and nothing "
        "changed. forgotten: nothing was recorded, since the user was forgotten. malformed: nothing was "
        "recorded, `why` says why."
    )
    occurred_at: str | None
    accepted_at: str | None
    why: str | None


class Results(BaseModel):
    """What became of each event, in their order."""

    results: list[Result]
    counts: dict[Status, int]
