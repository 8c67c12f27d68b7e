from __future__ import annotations

from pathlib import Path

import pytest

from helpers.small_models import save_smallest
from helpers.stand_in_model import full_score


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_smallest(tmp_path_factory.mktemp("weights"), window=8)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    folder = tmp_path / "prompts"
    (folder / "deep").mkdir(parents=True)
    full_score(bars=2).dump_midi(folder / "b.mid")
    full_score(bars=3).dump_midi(folder / "a.MID")
    full_score(bars=3, metre=(4, 4)).dump_midi(folder / "deep" / "a.midi")
    (folder / "notes.txt").write_text("no music")
    return folder
