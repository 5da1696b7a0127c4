"""Posts' embeddings by a static model of sentences (model2vec), where the data bring none.

Such a model is a table of token vectors: a text is their weighted mean, numpy is all it takes, and tens of
thousands of texts a second are embedded. The model is a folder; none is ever looked for elsewhere.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from batch.data.columns import TEXT
from batch.data.facts import Facts
from batch.extras import require_extra

FILES = ("config.json", "model.safetensors", "tokenizer.json")  # of a model


def embed_texts(facts: Facts, model: str) -> Facts:
    """Return the facts with an embedding of every post that has a text.

    Args:
        facts: They come back as they are where they bring embeddings.
        model: Folder of a model2vec model, of the texts' language; empty leaves the facts as they are.

    Raises:
        ValueError: The folder does not hold a model.
        LookupError: model2vec is not installed.
    """
    if not model or facts.embeddings is not None:
        return facts
    missing = [name for name in FILES if not (Path(model) / name).is_file()]
    if missing:
        raise ValueError(
            f"text model {model!r} has no {', '.join(missing)}: give the folder of a model2vec model"
        )
    require_extra("model2vec", "text")
    from model2vec import StaticModel

    texts = facts.posts[TEXT]
    known = (texts.notna() & (texts.fillna("").str.strip() != "")).to_numpy(bool)
    encoder = StaticModel.from_pretrained(model)
    vectors = np.full((len(texts), encoder.dim), np.nan, np.float32)
    if known.any():
        vectors[known] = encoder.encode(texts[known].tolist())
    return replace(facts, embeddings=vectors)
