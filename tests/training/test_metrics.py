from __future__ import annotations

from pathlib import Path

from music_reformer.training.metrics import COLUMNS, MetricsFile


def row(step: int, validation: float | None = None) -> dict[str, float | None]:
    return {**dict.fromkeys(COLUMNS, 0.5), "step": step, "validation_loss": validation}


def test_going_back_drops_later_rows_and_torn_lines(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.csv")
    file.keep_until(0)
    for step in (1, 2, 3, 4):
        file.append(row(step))
    with file.path.open("a") as torn:
        torn.write("5,0.1,")
    file.keep_until(3)
    file.append(row(4, validation=0.1 + 0.2))
    rows = file.rows()
    assert [line["step"] for line in rows] == [1, 2, 3, 4]
    assert rows[3]["validation_loss"] == 0.1 + 0.2  # To the last bit.
    assert rows[2]["validation_loss"] is None
