"""The names of what an estimate is made of, in the order that its weights and its columns have."""

NAMES = (
    *("post", "taste", "taste_placed", "types"),
    *("liked_together", "liked_beside", "taken_next", "liked_by_many_lately", "taken_by_many_lately"),
    *("liked_near", "post_lately"),  # floors: published alone where they clearly lead, never stacked
)
OF_IMPRESSIONS = NAMES[:4]
OF_CHOICES = NAMES[4:9]
HOURS = "hours"  # what the hour of the bucket adds, beside these
