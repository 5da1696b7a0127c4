"""Our own schema, which is StartML's: the names of tables and columns, spelled once, and a feed's rows."""

from typing import Any

import pyarrow as pa

from batch.arrays import AnyInts, Ints, Ints8

USERS, POSTS, FEED, EMBEDDINGS = "user_data", "post_text_df", "feed_data", "post_embeddings"

# Beside the posts: what is known of them as rows of post, property, value; and which topic lies above which.
PROPERTIES, TREE = "post_properties", "topic_tree"

USER_ID, POST_ID = "user_id", "post_id"
TIMESTAMP, ACTION, TARGET = "timestamp", "action", "target"
CLOCK = "clock"  # the time of day, where a mapping says that the timestamp is a date alone
TEXT, TOPIC = "text", "topic"
PROPERTY, VALUE, PARENT = "property", "value", "parent"
MORE_TOPICS = "more_topics"  # of a post that has several, all but the first, as words
ALL_TOPICS = "all_topics"  # of such a post, each of them for itself
VALID_FROM, VALID_TO = "valid_from", "valid_to"  # of posts: when they may be shown; `batch.data.windows`

VIEW, LIKE = 0, 1  # codes of `action` in Facts
ACTIONS = {"view": VIEW, "like": LIKE}

# Of each table: columns that must be there, and those that are read where they are. Any further column of
# profiles or embeddings is a feature; of posts those that requests may filter by are read, of the feed none.
REQUIRED = {
    USERS: (USER_ID,),
    POSTS: (POST_ID,),
    FEED: (TIMESTAMP, USER_ID, POST_ID),
    EMBEDDINGS: (POST_ID,),
    PROPERTIES: (POST_ID, PROPERTY, VALUE),
    TREE: (TOPIC, PARENT),
}
OPTIONAL = {
    POSTS: (TOPIC, TEXT, MORE_TOPICS, ALL_TOPICS, VALID_FROM, VALID_TO),
    FEED: (ACTION, TARGET),
    PROPERTIES: (TIMESTAMP,),
    TREE: (),
}


def feed_table(time: Ints, user_ids: Any, post_ids: Any, action: AnyInts, target: Ints8) -> pa.Table:
    """Return events, (events,) each, as rows of `feed_data`; ids are int64 or Arrow's.

    Times, epoch seconds, become timestamps without zone, UTC; `action` holds codes of ACTIONS.
    """
    columns = {
        TIMESTAMP: pa.array(time).cast(pa.timestamp("s")).cast(pa.timestamp("us")),
        USER_ID: user_ids,
        POST_ID: post_ids,
        ACTION: pa.array(ACTIONS).take(pa.array(action)),
        TARGET: target,
    }
    return pa.table(columns)
