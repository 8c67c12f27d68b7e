"""The required settings of each verb of the command line."""

from __future__ import annotations

REQUIRED = {
    "prepare": ["corpus.path=in", "output=out"],
    "train": ["data=in"],
    "finetune": ["files=in", "output=out"],
    "evaluate": ["checkpoint=in", "data=in"],
    "passages": ["data=in", "output=out"],
    "average": ["checkpoints=[a,b]", "output=out"],
    "generate": ["output=out"],
    "app": [],
    "sweep": ["data=in"],
    "learning-rate": ["data=in"],
}
