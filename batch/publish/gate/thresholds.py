"""Where the gate draws its lines, each with its reason."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits of the checks; a share is 0..1.

    Attributes:
        missing_users: Most users, as a share of the live ones, that may be gone. Users do not leave; 5 % at
            once is a broken join or half a table.
        empty_users: Most users, as a share, who may have no post at all: one who has seen everything is
            rare, a hundredth is a fault.
        short_lists: Most lists, as a share, that may be shorter than the posts left to the user would allow.
            Scoring fills every place, so any is a fault; a thousandth lets nobody's edge case stop a night.
        worse: How much HitRate@5 may fall behind the live generation, popularity or kNN, below which even
            the upper end of the difference's interval must not lie. Nights differ by as much by chance.
        confidence: Probability that the interval holds: at 0.99 one false alarm in two hundred nights.
        too_good: Most by which AUC in session may rise over the live one: a retrained model moves by
            hundredths. In five made worlds (2026-11-29) a tally that sees the label raised it by .16 to .18
            in three, and by .08 in the two whose lifts by cluster are constant: so weak a leak passes.
        best_auc: Highest AUC in session that is believed at all, where there is no live one to compare with.
            Nights of these worlds have .58 to .60, .66 to .77 with that leak, which is therefore caught
            against a live generation only.
        best_auc_of_choices: The same where users chose what they took: most posts of a session are then drawn
            from all that they did not take, and popularity alone tells films apart at .9.
        score_shift: Largest population stability index of raw scores against the live ones. By custom 0.25
            is a large shift; but scores are log-odds whose level every retraining moves: nights of a world
            of 300 users differ by 0.04 to 0.51.
        input_shift: Index above which a feature is asked whether it is still the same quantity. Counts and
            ages move by as much in a night, so it is stopped only if it looks like another one did.
        missing: Most by which the share of a feature's missing values may grow when it has moved so far.
        outside: Most values of a feature, as a share, that may lie far outside the range it was trained on
            (beyond half its width, or an unknown category).
        same_order: Most pairs of users, as a share, whose common posts may stand in one order. Personal
            lists hardly ever agree throughout; one list for all always does, whatever is left out as seen.
        same_posts: Largest mean share of the first ten places that two users may have in common.
        churn: Least mean rank-biased overlap with the live lists. Nights of a world of 300 users have 0.15 to
            0.34; lists drawn by chance fall below this limit there (tests/integration).
        topic_shift: Largest share of the first ten places that may change its topic over night; nights of
            that world change 0.07 to 0.3.
        coverage_fall: Least share of the live generation's catalogue coverage.
    """

    missing_users: float = 0.05
    empty_users: float = 0.01
    short_lists: float = 0.001
    worse: float = 0.02
    confidence: float = 0.99
    too_good: float = 0.10
    best_auc: float = 0.85
    best_auc_of_choices: float = 0.98
    score_shift: float = 1.0
    input_shift: float = 1.0
    missing: float = 0.3
    outside: float = 0.5
    same_order: float = 0.5
    same_posts: float = 0.95
    churn: float = 0.05
    topic_shift: float = 0.5
    coverage_fall: float = 0.5
