"""Training rows for whoever trains a model of their own on our features, and that model read back.

What a code or an axis stands for comes about anew where posts or profiles do. So a model is scored only on
features that are made as its own were: `features.json`, which stays beside it, holds their digest.
"""

from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batch.data.columns import POST_ID, TARGET, TIMESTAMP, USER_ID
from batch.data.facts import Facts
from batch.features.asof import Rows, Statics
from batch.features.sides import Feature
from batch.learn.factors.factor_table import FactorTable
from batch.learn.ranker import Ranker
from batch.learn.trees import inner_names
from batch.score.tables.masks import factor
from batch.score.tables.trees import UnfactorableModel, parse

ROWS, ABOUT, README = "rows.parquet", "features.json", "README.md"
ROWS_A_GROUP = 100_000
GROUPED = "the user in the post's group"
KEYS = {
    USER_ID: "whose impression it was; no feature",
    POST_ID: "the post that was shown; no feature",
    TIMESTAMP: "when, UTC; no feature: rows ascend by it, so that the last ones can be held out",
    TARGET: "the label: 1 where a like followed, else 0",
}
TOLD = {
    "user_lift": "how often the user likes, over what posts they saw are liked on average; shrunken",
    "user_lift_recent": "the same of the last weeks",
    "user_views": "impressions of the user so far",
    "user_days_away": "days since the user's last impression",
    "topic": "number of the post's topic",
    "cluster": "number of the post's text cluster, which lies inside one topic",
    "post_lift": "how often the post is liked, over the average; shrunken",
    "post_lift_recent": "the same of the last weeks",
    "post_trend": "post_lift_recent less post_lift",
    "post_views": "impressions of the post so far, over the mean of all posts",
    "post_days_shown": "days since the post was first shown",
    "text_length": "letters of the post's text",
    "hour": "hour of the user's day, 0 to 23",
    "weekday": "day of the week, Monday 0",
    "topic_lift": "user_lift among posts of this post's topic",
    "cluster_lift": "user_lift among posts of this post's text cluster",
    "topic_share": "share of the user's impressions that were of this topic, over everybody's",
}


def write_rows(folder: Path, facts: Facts, statics: Statics, rows: Rows) -> None:
    """Write training rows as Parquet, what their columns are as JSON, and a page that says it.

    Args:
        folder: Where to; it is made.
        facts: Events that the rows are of.
        statics: What does not change with time.
        rows: Each with features as of the begin of its week, or earlier.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = inner_names([feature.name for feature in statics.features])
    event = rows.event
    keys = {
        USER_ID: pa.array(facts.user_names.as_json(facts.user_ids[facts.user[event]])),
        POST_ID: pa.array(facts.post_names.as_json(facts.post_ids[facts.post[event]])),
        TIMESTAMP: pa.array(facts.time[event]).cast(pa.timestamp("s", tz="UTC")),
        TARGET: pa.array(rows.y),
    }
    columns = {name: pa.array(np.ascontiguousarray(rows.x[:, k])) for k, name in enumerate(names)}
    pq.write_table(
        pa.table({**keys, **columns}), folder / ROWS, compression="zstd", row_group_size=ROWS_A_GROUP
    )
    about = {
        "features": [
            {**asdict(feature), "column": name} for name, feature in zip(names, statics.features, strict=True)
        ],
        "made_of": digest(facts, statics),
    }
    (folder / ABOUT).write_bytes(orjson.dumps(about, option=orjson.OPT_INDENT_2))
    (folder / README).write_text(_page(statics.features, names))


def read_model(path: Path, facts: Facts, statics: Statics, as_of_s: int) -> Ranker:
    """Read a LightGBM model that was trained on what `write_rows` wrote.

    Args:
        path: The model's text; `features.json` lies beside it.
        facts: As they are now.
        statics: What does not change with time.
        as_of_s: The moment that it is asked for.

    Raises:
        ValueError: It is no such model, or features are made otherwise now; UnfactorableModel: it holds
            something that cannot be scored by side. The message names it.
    """
    beside = path.parent / ABOUT
    for file in (path, beside):
        if not file.is_file():
            raise ValueError(
                f"there is no {file}: give the text of a model that lies beside the {ABOUT} of its features"
            )
    text, about = path.read_text(), orjson.loads(beside.read_bytes())
    model, names = parse(text), inner_names([feature.name for feature in statics.features])
    for column, (theirs, ours) in enumerate(
        zip([*model.names, *[""] * len(names)], [*names, *[""] * len(model.names)], strict=False)
    ):
        if theirs != ours:
            raise UnfactorableModel(
                f"column {column} of {path} is {theirs or 'missing'!r}, of our features {ours or 'none'!r}: "
                f"train on all columns of {ROWS} after {TARGET}, in their order"
            )
    if about.get("made_of") != digest(facts, statics):
        raise ValueError(
            f"posts or profiles are others than when {beside} was written, so that codes and text factors "
            "mean something else: write features anew, and train on them"
        )
    factor(model, statics.features)
    nothing = np.zeros((len(facts.users), 1)), np.zeros((len(facts.posts), 1))  # what it adds to the trees
    return Ranker(
        text=text,
        features=statics.features,
        as_of_s=as_of_s,
        parameters={},
        factors=FactorTable(facts.user_ids, facts.post_ids, *nothing, np.zeros(len(facts.users))),
        made_of=about["made_of"],
    )


def digest(facts: Facts, statics: Statics) -> str:
    """Digest what features are made with: columns, codes of profiles, what posts are about; hexadecimal."""
    texts, found = statics.texts, blake2b(digest_size=16)
    found.update(orjson.dumps([asdict(feature) for feature in statics.features]))
    found.update(orjson.dumps(statics.profiles.codes))
    found.update(orjson.dumps(facts.post_names.spelled(facts.post_ids)))
    for values in (texts.topic, texts.cluster, texts.factors):
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()


def _page(features: tuple[Feature, ...], names: list[str]) -> str:
    lines = [
        "# Training rows",
        "",
        f"`{ROWS}`: one row an impression. Every feature is as of the begin of the row's week, or earlier:",
        f"no later fact is in it. Train LightGBM on all columns after `{TARGET}`, in this order and under",
        "these names, those marked as categories as categorical features; save its text beside this page as",
        f"`model.txt`, and `almanac run --model` ranks by it. Keep `{ABOUT}` there.",
        "",
        "| column | is of | kind | what it says |",
        "|---|---|---|---|",
        *(f"| `{name}` | | | {said} |" for name, said in KEYS.items()),
    ]
    for name, feature in zip(names, features, strict=True):
        kind = "category" if feature.categorical else "number"
        side = GROUPED if feature.side == "user_group" else f"the {feature.side}"
        said = TOLD.get(feature.name) or (
            "a factor of the post's text" if feature.name.startswith("text_") else f"profile: {feature.name}"
        )
        lines.append(f"| `{name}` | {side} | {kind} | {said} |")
    return "\n".join([*lines, ""])
