"""How strong everything is: the fitted constants, each with its origin, and the effects of time.

A like is drawn with a probability that is a *sum* of effects, clipped at 0, not a product of odds. The real
rows say so: from the first nine views of a session to those after the nineteenth the like rate falls by .125
for eager and lazy users alike, and 27 of 114 users never like a post after the nineteenth.

"Rows" below are the 35,102 views of 114 users before 2021-12-12; "published" are the figures of the whole
table. A constant is "fitted" when it was chosen for `measure` in tests/behaviour.py to agree on the rows and
on worlds of their period; the tests hold it to that.
"""

import numpy as np
import numpy.typing as npt

from batch.simulate.config import Regime, WorldConfig

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LIKE_RATE = 8_206_345 / 68_686_455  # published: likes per view

# Sessions (rows): at most one a day; the chance of one differs between users. Its mean makes the published
# 420.9 views a user in 90 days: 90 × .1613 sessions of 29 views. The spread is that of sessions per user.
SESSION_CHANCE = (0.0713, 0.2513)  # uniform between, a day
FIRST_START_S, LAST_START_S = 6 * 3600, 23 * 3600  # start uniform in the day, seconds after midnight
VIEW_GAP_S = (10, 179)  # uniform, both included: from a view to the next
LIKE_TO_NEXT_VIEW_S = 2  # the like comes this long before the next view, so 8-177 s after its own

# A session falls into two halves (rows): its length is 20-38, and the like rate by position is a step that is
# blurred from position 9 to 19 exactly as a first half of 9-19 views would.
EARLY_VIEWS = (9, 19)  # uniform, both included
LATE_VIEWS = (11, 19)  # uniform, both included
EARLY_SHARE = (EARLY_VIEWS[0] + EARLY_VIEWS[1]) / (sum(EARLY_VIEWS) + sum(LATE_VIEWS))
EARLY_LIFT = 0.135  # rows: .182 in the first nine places, .055 after the nineteenth; clipping takes some

# Which cause the lift has the rows cannot tell. Gaussian: place in the session alone. Typed: mostly that the
# preferred posts come first; the rest is place, so that a typed world is not a pure one either.
PREFERENCE_SHARE: dict[Regime, float] = {"gaussian": 0.0, "typed": 0.8, "moving": 0.8}
MISPLACED = (
    0.003  # where there are types: posts shown in the wrong half; rows: 7 of 1,337 repeats changed halves
)

# Differences between users, in like rate. Published, by segment in the last week: .10, .14, .14, .10, .12 by
# exp_group, .111 and .125 by gender, .115 in Russia, .15-.16 elsewhere. Clipping takes some of what is here.
EXP_GROUP_EFFECT = np.array([-0.024, 0.024, 0.024, -0.024, 0.0])
GENDER_EFFECT = np.array([-0.009, 0.007])
COUNTRY_EFFECT = {"Russia": -0.0045}
OTHER_COUNTRY_EFFECT = 0.0355
USER_SD = 0.052  # what the profile does not explain; fitted: AUC of the past like rate

# Differences between posts, in like rate.
TOPIC_EFFECT = {"tech": -0.022}  # published: .102 against .122 of sport; the rest do not differ
QUALITY_SD: dict[Regime, float] = {
    "gaussian": 0.024,
    "typed": 0.0175,
    "moving": 0.0175,
}  # fitted: AUC of the post's rate

# Tastes, in like rate, at taste = 1; fitted: AUC of past likes' embedding, spread of user × topic likes.
TOPIC_TASTE_SD = 0.037
FACTOR_TASTE_SD = 0.032  # of the whole sum over the factors

# Published: like rate by hour and by month, less the mean. The trend is piecewise linear over the period.
_HOUR_EFFECT = np.zeros(24)
_HOUR_EFFECT[6], _HOUR_EFFECT[7] = 0.006, 0.018
_HOUR_EFFECT[8:13] = -0.008
_HOUR_EFFECT[13:19] = -0.019
_HOUR_EFFECT[19:23] = 0.026
_HOUR_EFFECT[23] = 0.028
_TREND = ((0.0, 0.5, 1.0), (-0.043, 0.008, 0.026))

# A moving world has this beside its types; nothing of it is fitted, since the real rows are too few to tell.
TOPIC_HOUR_SD = (
    0.027  # of a topic at an hour: half of what types' preferences spread, .8 × .135 × √(.47 × .53)
)
HOURS_ALIKE = 1.0  # how smooth a topic's day is: hours 1, 3 and 6 apart correlate by .94, .52 and -.18
DAY_S = 86_400
BORN_SHARE = 0.5  # of the posts come while the world runs, the others were there before
NEW_SHARE, NEW_S = 0.1, DAY_S  # of all views, and how long a post is new: they show what came within a day
FAMOUS_SHARE, FAME_S = 0.1, 7 * DAY_S  # of the posts have their week of fame at some time
FAME_LIFT = 0.05  # while it lasts: as much as a topic gains at one of its best hours


def of_moment(config: WorldConfig, at_s: Ints) -> Floats:
    """Return how the hour of the day and the trend over the period shift the like probability.

    Args:
        at_s: int64, any shape. Epoch seconds; beyond the period the trend stays at its nearest end.

    Returns:
        float64 of the same shape, to be added to a probability.
    """
    elapsed = (at_s - config.start_s) / (config.end_s - config.start_s)
    hour = (at_s // 3600) % 24
    return np.asarray(_HOUR_EFFECT[hour] + np.interp(elapsed, *_TREND), np.float64)


def early_chance(position: Ints) -> Floats:
    """Return the chance that a place in a session is of its first half: 1 before 9, 0 from 19 on.

    >>> early_chance(np.array([0, 14, 19]))
    array([1.        , 0.45454545, 0.        ])
    """
    low, high = EARLY_VIEWS
    return np.clip((high - position) / (high - low + 1), 0.0, 1.0)
