"""What others usually call our columns and tables. Pure."""

import re
from typing import Literal

from batch.data.columns import ACTION, CLOCK, EMBEDDINGS, FEED, POSTS, TARGET, TEXT, TIMESTAMP, TOPIC, USERS

Meaning = Literal["user", "item", "timestamp", "clock", "action", "target", "rating", "text", "topic"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_THINGS = _words(
    "post item movie film article product content news track song artist book video game anime recipe course "
    "show offer goods doc document story vacancy job hotel place poi business app ad listing"
)
_PEOPLE = _words("user person visitor customer client member account profile buyer viewer reviewer reader")
_WORDS: dict[Meaning, tuple[str, ...]] = {
    "user": (*_PEOPLE, *_words("uid msno cookie device who")),
    "item": (*_THINGS, *_words("asin parentasin isbn sku iid stockcode pid")),
    "timestamp": _words(
        "timestamp ts time datetime date dt at when tdat eventtime eventtimestamp eventdate createdat "
        "created lastwatchdt watchdt starttime servertime purchasedate orderdate invoicedate unixreviewtime "
        "reviewtime ratingtimestamp playedat clicktime day"
    ),
    "clock": _words("clock time timeofday hour"),
    "action": _words(
        "action event eventtype actiontype behavior behaviour behaviortype kind interaction type"
    ),
    "target": _words("target liked like isliked clicked click isclick isclicked label"),
    "rating": _words("rating stars score overall grade watchedpct percent watchedpercent progress playtime"),
    "text": _words(
        "text title name headline description content body prodname itemname detaildesc movietitle summary"
    ),
    "topic": _words(
        "topic category genres genre class section categorycode producttypename categoryid subcategory tags "
        "contenttype productgroupname rubric type"
    ),
}
_TABLES = {
    FEED: _words(
        "feed event interaction rating click view transaction log behavior history purchase order watch"
    ),
    USERS: (*_PEOPLE, "people"),
    POSTS: _THINGS,
    EMBEDDINGS: _words("embedding vector factor"),
}
# Of events: those by which a user says that they like a post, and those by which they only come across it.
LIKES = frozenset(
    _words(
        "like liked fav favorite favourite heart upvote bookmark save saved cart addtocart buy purchase "
        "purchased transaction order ordered checkout share rate repost"
    )
)
VIEWS = frozenset(
    _words(
        "view viewed pv pageview click clicked open opened show shown impression watch watched play played "
        "read visit browse detail detailview listen seen"
    )
)
OURS: dict[Meaning, str] = {
    "timestamp": TIMESTAMP,
    "clock": CLOCK,
    "action": ACTION,
    "target": TARGET,
    "text": TEXT,
    "topic": TOPIC,
}


def plain(name: str) -> str:
    """Return a name without case and without all that is no letter or digit.

    >>> plain("Last_Watch-dt")
    'lastwatchdt'
    """
    return re.sub(r"[\W_]", "", name.lower())


def rank(name: str, meaning: Meaning) -> int:
    """Return how well a column's name fits a meaning, 0 best; -1 where it does not.

    An id may be called by its thing alone, with `id`, or with words before or after it.

    >>> rank("visitorid", "user") >= 0, rank("Customer ID", "user") >= 0, rank("age", "user")
    (True, True, -1)
    """
    words = _WORDS[meaning]
    bare = plain(name)
    if meaning in ("user", "item"):
        bare = re.sub(r"(id|ids|code|key|number|hash)$", "", bare) or bare
        bare = bare.removesuffix("s") if bare.removesuffix("s") in words else bare
    return words.index(bare) if bare in words else -1


def fits_table(name: str, table: str) -> bool:
    """Tell whether a table's name has a word of those that are usual for one of ours.

    >>> fits_table("users_interactions", "feed_data"), fits_table("movies", "post_text_df")
    (True, True)
    """
    return any(word in plain(name) for word in _TABLES[table])
