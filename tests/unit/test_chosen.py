"""What was chosen is told in words, from the model's metrics alone."""

from batch.learn.chosen import compared_of, describe_choice, weights_of

COMPARED = {
    "compared_liked_by_many_lately_1": 0.03,
    "compared_liked_by_many_lately_2": 0.02,
    "compared_liked_together_2": 0.01,
    "compared_stack_1": 0.01,
    "compared_stack_2": 0.03,
}


def test_recency_alone_is_said_to_be_what_nothing_beats() -> None:
    estimate = {"compared_estimate_1": 0.03, "compared_estimate_2": 0.02}

    says = describe_choice({**COMPARED, **estimate, "weight_liked_by_many_lately": 1.0, "weight_trees": 0.0})

    assert says == (
        "nothing beats recency alone: it is published, without trees; NDCG@10 .025, all parts together .020"
    )


def test_parts_that_are_published_together_stand_beside_the_best_one_alone() -> None:
    weights = {"weight_liked_together": 2.0, "weight_liked_by_many_lately": 0.3, "weight_liked_beside": 0.0}
    metrics = {**COMPARED, "compared_estimate_2": 0.04, "compared_almanac_2": 0.05, **weights}

    says = describe_choice({**metrics, "weight_trees": 0.25, "auc": 0.6})

    assert says == (
        "liked together and recency are published together, with 0.25 of what trees say; "
        "NDCG@10 .040, the best part alone, recency, .025"
    )


def test_a_model_without_any_part_says_so_and_one_that_tells_nothing_says_nothing() -> None:
    none = describe_choice({"compared_post_3": 0.49, "compared_estimate_3": 0.5, "weight_trees": 0.0})

    assert none == "no part tells what is liked later: none is published, without trees; AUC .500"
    assert describe_choice({"hitrate_at_5": 0.5}) == ""


def test_metrics_give_back_weights_and_what_was_compared_by_period() -> None:
    assert weights_of({"weight_post": 0.0, "weight_types": 0.4, "auc": 1.0}) == {"types": 0.4}
    assert compared_of(COMPARED)["liked_by_many_lately"] == {1: 0.03, 2: 0.02}
