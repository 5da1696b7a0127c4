"""Rankers of a second stage: LightGBM, XGBoost or CatBoost, as like as their settings allow."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from batch.arrays import Floats, Floats32, Ints
from batch.features.sides import Feature
from batch.learn.stages import Aim

log = logging.getLogger(__name__)

N_TREES, N_LEAVES, DEPTH, RATE, L2 = 100, 31, 6, 0.1, 5.0
Ranker = Literal["lightgbm", "xgboost", "catboost"]
Predict = Callable[[Floats32], Floats]  # float32 (rows, columns) to float64 (rows,), higher is better


class Rows(NamedTuple):
    """What a ranker learns from, one user's rows side by side.

    Attributes:
        x: float32 (rows, columns).
        y: int8 (rows,). 1: liked.
        user: int64 (rows,), ascending.
        columns: What stands in each.
    """

    x: Floats32
    y: np.ndarray
    user: Ints
    columns: Sequence[Feature]


def fit_ranker(ranker: Ranker, rows: Rows, aim: Aim, seed: int, threads: int) -> Predict:
    """Fit a ranker; what that takes, and what it takes to predict the same rows, is logged."""
    fit = {"lightgbm": _fit_lightgbm, "xgboost": _fit_xgboost, "catboost": _fit_catboost}[ranker]
    began = time.perf_counter()
    predict = fit(rows, aim, seed, threads)
    between = time.perf_counter()
    predict(rows.x)
    seconds = {"fit_s": between - began, "predict_s": time.perf_counter() - between}
    log.info("ranker.fitted", extra={"ranker": ranker, "aim": aim, "rows": len(rows.y), **seconds})
    return predict


def _fit_lightgbm(rows: Rows, aim: Aim, seed: int, threads: int) -> Predict:
    import lightgbm

    parameters = {
        "objective": "binary" if aim == "classification" else "lambdarank",
        "num_leaves": N_LEAVES,
        "learning_rate": RATE,
        "lambda_l2": L2,
        "min_data_in_leaf": 20,
        "cat_smooth": 50.0,
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    categorical = [k for k, column in enumerate(rows.columns) if column.categorical]
    sizes = np.unique(rows.user, return_counts=True)[1]
    data = lightgbm.Dataset(rows.x, rows.y, group=sizes, categorical_feature=categorical)
    model = lightgbm.train(parameters, data, N_TREES)
    return lambda x: np.asarray(model.predict(x, raw_score=True), np.float64)


def _fit_xgboost(rows: Rows, aim: Aim, seed: int, threads: int) -> Predict:
    import xgboost

    parameters = {
        "objective": "binary:logistic" if aim == "classification" else "rank:ndcg",
        "max_leaves": N_LEAVES,
        "grow_policy": "lossguide",
        "max_depth": 0,
        "eta": RATE,
        "lambda": L2,
        "seed": seed,
        "nthread": threads,
    }
    model = xgboost.train(parameters, xgboost.DMatrix(rows.x, rows.y, qid=rows.user), N_TREES)
    return lambda x: np.asarray(model.predict(xgboost.DMatrix(x), output_margin=True), np.float64)


def _fit_catboost(rows: Rows, aim: Aim, seed: int, threads: int) -> Predict:
    import catboost

    parameters = {
        # Its LambdaMart put the plain taste of a test last.
        "loss_function": "Logloss" if aim == "classification" else "YetiRank",
        "depth": DEPTH,
        "learning_rate": RATE,
        "l2_leaf_reg": L2,
        "random_seed": seed,
        "thread_count": threads or -1,
        "allow_writing_files": False,
        "verbose": False,
    }
    model = catboost.train(catboost.Pool(rows.x, rows.y, group_id=rows.user), parameters, iterations=N_TREES)
    return lambda x: np.asarray(model.predict(x, prediction_type="RawFormulaVal"), np.float64)
