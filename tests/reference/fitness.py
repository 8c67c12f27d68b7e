"""Slow and obvious: fitness of a segment by the recursion and the tracing back of the paper, cell by cell.

Mueller, Jiang and Grosche (IEEE TASLP 2013), equations 4 to 10; Mueller, Fundamentals of Music Processing, section 4.3.
"""

from __future__ import annotations

import math

import numpy as np


def fitness(score: np.ndarray, begin: int, length: int) -> float:
    """Fitness of the segment of `length` frames from `begin` on."""
    paths = optimal_paths(score[:, begin : begin + length])
    total = sum(score[row, begin + column] for path in paths for row, column in path)
    cells = sum(len(path) for path in paths)
    covered = sum(path[-1][0] - path[0][0] + 1 for path in paths)
    normal_score = (total - length) / cells
    coverage = (covered - length) / len(score)
    if normal_score <= 0 or coverage <= 0:
        return 0.0
    return 2 * normal_score * coverage / (normal_score + coverage)


def optimal_paths(score: np.ndarray) -> list[list[tuple[int, int]]]:
    """The path family of the largest score over a segment, given as the columns of the matrix."""
    rows, columns = score.shape
    best = np.full((rows, columns), -math.inf)
    came_from: dict[tuple[int, int], tuple[int, int] | None] = {}
    # What is best before each row, and the cell in which the last path of it ended.
    between, ended = [0.0], [None]
    for row in range(rows):
        for column in range(columns):
            if column == 0:
                best[row, 0], came_from[row, 0] = between[row] + score[row, 0], None
                continue
            candidates = [(row - 1, column - 1), (row - 2, column - 1), (row - 1, column - 2)]
            candidates = [(r, c) for r, c in candidates if r >= 0 and c >= 0]
            if candidates:
                source = max(candidates, key=lambda cell: best[cell])
                best[row, column], came_from[row, column] = best[source] + score[row, column], source
        if best[row, -1] > between[row]:
            between.append(best[row, -1])
            ended.append(row)
        else:
            between.append(between[row])
            ended.append(None)
    paths = []
    row = rows
    while row > 0:
        if ended[row] is None:
            row -= 1
            continue
        cell = (ended[row], columns - 1)
        path = [cell]
        while came_from[cell] is not None:
            cell = came_from[cell]
            path.append(cell)
        paths.append(path[::-1])
        row = path[-1][0]
    return paths[::-1]
