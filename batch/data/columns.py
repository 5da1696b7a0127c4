"""The names of tables and columns in our own schema, spelled once. It is StartML's."""

USERS, POSTS, FEED, EMBEDDINGS = "user_data", "post_text_df", "feed_data", "post_embeddings"

USER_ID, POST_ID = "user_id", "post_id"
TIMESTAMP, ACTION, TARGET = "timestamp", "action", "target"
TEXT, TOPIC = "text", "topic"

VIEW, LIKE = 0, 1  # codes of `action` in Facts
ACTIONS = {"view": VIEW, "like": LIKE}
