"""The names of tables and columns in our own schema, spelled once. It is StartML's."""

USERS, POSTS, FEED, EMBEDDINGS = "user_data", "post_text_df", "feed_data", "post_embeddings"

USER_ID, POST_ID = "user_id", "post_id"
TIMESTAMP, ACTION, TARGET = "timestamp", "action", "target"
TEXT, TOPIC = "text", "topic"

VIEW, LIKE = 0, 1  # codes of `action` in Facts
ACTIONS = {"view": VIEW, "like": LIKE}

# Of each table: columns that must be there, and those that are read where they are. Any further column of
# profiles or embeddings is a feature; of posts and the feed nothing else is read.
REQUIRED = {
    USERS: (USER_ID,),
    POSTS: (POST_ID,),
    FEED: (TIMESTAMP, USER_ID, POST_ID, ACTION),
    EMBEDDINGS: (POST_ID,),
}
OPTIONAL = {POSTS: (TOPIC, TEXT), FEED: (TARGET,)}
