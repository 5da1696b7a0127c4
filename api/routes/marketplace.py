"""A marketplace's handles for its pipelines and their stages: other names for runs of the batch."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import AfterValidator

from api.auth import needs_admin
from api.contract.asked import Pipeline
from api.errors import REFUSED, RUN_REFUSED, UNAVAILABLE
from api.routes.pipelines import ASKED
from api.schemas.run import Run, as_run
from api.store.store import Store

router = APIRouter(prefix="/wbtech_proj", tags=["compatible"], dependencies=[Depends(needs_admin)])

# As its client spells them; the part of a run that holds what each does.
_PREPROCESS = """
pipelines/raw_data/preprocess
data/preprocessing/raw_data/interactions data/preprocessing/raw_data/text_data
data/preprocessing/raw_data/images_data data/preprocessing/raw_data/full
"""
_TRAIN = """
pipelines/train/ranker pipelines/train/cold_recbs pipelines/train/cold_recs
train_models/first_stage_models_for_ranker_trainning/knn_based_models
train_models/first_stage_models_for_ranker_trainning/lfm_model
train_models/first_stage_models_for_ranker_trainning/all_models
train_models/first_stage_models_for_ranker_inference/knn_based_models
train_models/first_stage_models_for_ranker_inference/lfm_model
train_models/first_stage_models_for_ranker_inference/all_models
inference_models/first_stage_models_for_ranker_trainning/knn_based_models
inference_models/first_stage_models_for_ranker_trainning/lfm_model
inference_models/first_stage_models_for_ranker_trainning/all_models
data/preprocessing/ranker_data/for_trainning
train_models/ranker_model/catboost_model
train_models/cold_recs_models/popular_model train_models/cold_recs_models/mab_model/fit
"""
_INFER = """
pipelines/inference/ranker pipelines/inference/cold_recbs pipelines/inference/cold_recs
inference_models/first_stage_models_for_ranker_inference/knn_based_models
inference_models/first_stage_models_for_ranker_inference/lfm_model
inference_models/first_stage_models_for_ranker_inference/all_models
data/preprocessing/ranker_data/for_inference
inference_models/ranker_model/catboost_model
inference_models/cold_recs_models/popular_model inference_models/cold_recs_models/popular_bandit_model
"""
HANDLES: Mapping[str, Pipeline] = {
    **dict.fromkeys(_PREPROCESS.split(), "preprocess"),
    **dict.fromkeys(_TRAIN.split(), "train"),
    **dict.fromkeys(_INFER.split(), "infer"),
}


def _read_handle(text: str) -> str:
    handle = text.rstrip("/")
    if handle not in HANDLES:
        raise ValueError(f"{text[:80]!r} is no handle: one is pipelines/train/ranker/")
    return handle


Handle = Annotated[
    str,
    Path(
        description="`pipelines/raw_data/preprocess/`, `pipelines/train/ranker/` or `…/cold_recbs/`, "
        "`pipelines/inference/ranker/` or `…/cold_recbs/`, or the handle of a stage of theirs.",
        examples=["pipelines/train/ranker/"],
    ),
    AfterValidator(_read_handle),
]


@router.post("/{handle:path}", status_code=202, responses={**ASKED, **REFUSED, **RUN_REFUSED, **UNAVAILABLE})
async def ask_by_handle(request: Request, handle: Handle) -> Run:
    """Ask for the part of a run that a handle stands for, as `POST /pipelines/{name}/runs` does."""
    store: Store = request.state.store
    return as_run(await store.desk.ask(HANDLES[handle], request.state.clock()))
