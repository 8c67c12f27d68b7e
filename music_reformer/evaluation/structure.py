"""Repetition within a piece: self-similarity, and structureness at short, middle and long range.

Shapes: T frames of one second, M frames of a segment, G segments of one length.

Structureness follows The Jazz Transformer (Wu and Yang, ISMIR 2020, arXiv 2008.01307, section 4.3): the largest fitness
(Mueller, Jiang and Grosche, IEEE TASLP 2013, "A robust fitness measure for capturing repetitions in music recordings")
of the segments whose length is in a range. They computed the self-similarity from rendered audio with the MATLAB SM
Toolbox. Here it comes from the notes, one chroma vector per second, so the figures are not comparable with theirs.
"""

from __future__ import annotations

import numpy as np

from music_reformer.evaluation.notes import Floats, Notes

# Ranges of The Jazz Transformer, in seconds.
SHORT, MIDDLE, LONG = (3, 8), (8, 15), (15, 1_000_000)
_SMOOTHING_S = 3  # seconds of the running mean over chroma
_DIAGONAL_S = 4  # length of the smoothing along diagonals, which favours passages over isolated similarities
_SHARE_KEPT = 0.2  # share of cells, the most similar ones, that are kept
_PENALTY = -2.0  # score of the others


def self_similarity(notes: Notes) -> Floats:
    """Cosine similarity of the pitch classes that sound in any two seconds, [T, T]; 0 for silent seconds."""
    chroma_TC = _chroma(notes)
    kernel = np.ones(_SMOOTHING_S)
    smooth_TC = np.stack([np.convolve(column, kernel, mode="same") for column in chroma_TC.T], axis=1)
    norm_T1 = np.linalg.norm(smooth_TC, axis=1, keepdims=True)
    unit_TC = np.divide(smooth_TC, norm_T1, out=np.zeros_like(smooth_TC), where=norm_T1 > 0)
    return unit_TC @ unit_TC.T


def by_lag(similarity_TT: Floats) -> Floats:
    """Mean similarity of seconds at a distance of 0, 1, 2 ..., [T]."""
    return np.array([np.diagonal(similarity_TT, lag).mean() for lag in range(len(similarity_TT))])


def structureness(notes: Notes) -> dict[str, float]:
    """Largest fitness of segments of 3 to 8 ("short"), 8 to 15 ("middle") and more than 15 seconds ("long").

    It is 0 if no passage of such a length is repeated, and nan if the piece is shorter than the range.
    """
    fitness_M = largest_fitness(_enhance(self_similarity(notes)))
    found = {}
    for name, (low, high) in (("short", SHORT), ("middle", MIDDLE), ("long", LONG)):
        within = fitness_M[low - 1 : high]
        found[name] = float(within.max()) if len(within) else float("nan")
    return found


def largest_fitness(score_TT: Floats) -> Floats:
    """Largest fitness of the segments of each length 1 ... T, [T].

    The fitness of a segment is the harmonic mean of how well (score) and how much (coverage) of the piece consists of
    its repetitions, not counting the segment itself: equations 7 to 10 of the paper.

    Args:
        score_TT: similarity, 1 on the diagonal, negative for seconds that are unlike.
    """
    num_frames = len(score_TT)
    return np.array([_fitness(score_TT, length).max() for length in range(1, num_frames + 1)])


def _fitness(score_TT: Floats, length: int) -> Floats:
    """Fitness of all segments of one length, [G].

    A path aligns the segment (columns) to some passage (rows) by steps (1, 1), (2, 1) and (1, 2), from its first to its
    last column; a family is a set of paths over passages that do not overlap. The best family of each segment is found
    by dynamic programming over the rows, for all segments at once. Besides the score, the recursion carries the number
    of rows that a family covers and of cells in its paths, so that no backtracking is needed.
    """
    num_frames = len(score_TT)
    num_segments = num_frames - length + 1
    columns_GM = np.arange(num_segments)[:, None] + np.arange(length)
    # F: score, covered rows, cells. The best family that ended before this row, and those within a path.
    ended_FG = np.zeros((3, num_segments))
    one_back_FGM = two_back_FGM = np.full((3, num_segments, length), -np.inf)
    for row in range(num_frames):
        here_FGM = np.empty((3, num_segments, length))
        here_FGM[:, :, 0] = ended_FG
        if length > 1:
            here_FGM[:, :, 1:] = _best_step(one_back_FGM, two_back_FGM)
        here_FGM[0] += score_TT[row][columns_GM]
        here_FGM[1:] += 1
        last_FG = here_FGM[:, :, -1]
        ended_FG = np.where(last_FG[0] > ended_FG[0], last_FG, ended_FG)
        two_back_FGM, one_back_FGM = one_back_FGM, here_FGM
    score_G, covered_G, cells_G = ended_FG
    normal_score_G = (score_G - length) / np.maximum(cells_G, 1)
    coverage_G = (covered_G - length) / num_frames
    fits_G = (normal_score_G > 0) & (coverage_G > 0)
    return np.divide(
        2 * normal_score_G * coverage_G, normal_score_G + coverage_G, out=np.zeros(num_segments), where=fits_G
    )


def _best_step(one_back_FGM: Floats, two_back_FGM: Floats) -> Floats:
    """The best family from which to enter each column but the first, [F, G, M - 1]."""
    best = one_back_FGM[:, :, :-1].copy()
    skipping_row = two_back_FGM[:, :, :-1]
    better = skipping_row[0] > best[0]
    np.copyto(best, skipping_row, where=better)
    best[1] += better  # the skipped row is covered, too
    skipping_column = one_back_FGM[:, :, :-2]
    np.copyto(best[:, :, 1:], skipping_column, where=skipping_column[0] > best[0, :, 1:])
    return best


def _chroma(notes: Notes) -> Floats:
    """Sounding time of each pitch class in each second from the first onset on, without drums, [T, 12]."""
    melodic = notes.where(~notes.drum)
    begin_s = notes.first_s
    num_frames = max(1, int(np.ceil(notes.last_s - begin_s)))
    chroma_TC = np.zeros((num_frames, 12))
    start, end = melodic.onset_s - begin_s, melodic.end_s - begin_s
    pitch_class = melodic.pitch % 12
    first, last = start.astype(int), np.minimum(end.astype(int), num_frames - 1)
    for ahead in range(int((last - first).max(initial=0)) + 1):
        frame = first + ahead
        sounds = frame <= last
        overlap = np.minimum(end, frame + 1) - np.maximum(start, frame)
        np.add.at(chroma_TC, (frame[sounds], pitch_class[sounds]), np.maximum(0, overlap[sounds]))
    return chroma_TC


def _enhance(similarity_TT: Floats) -> Floats:
    """Smooth along diagonals, scale the most similar cells to 0 ... 1, and penalise the others."""
    num_frames = len(similarity_TT)
    padded = np.pad(similarity_TT, (_DIAGONAL_S - 1, _DIAGONAL_S - 1))
    weight = np.pad(np.ones_like(similarity_TT), (_DIAGONAL_S - 1, _DIAGONAL_S - 1))
    # The maximum of forward and backward smoothing, so that neither end of a passage fades.
    means: list[Floats] = []
    for shifts in (range(_DIAGONAL_S - 1, 2 * _DIAGONAL_S - 1), range(_DIAGONAL_S)):
        cells = [(slice(shift, shift + num_frames),) * 2 for shift in shifts]
        total_TT = np.sum([padded[cell] for cell in cells], axis=0)
        means.append(total_TT / np.sum([weight[cell] for cell in cells], axis=0))
    smooth_TT = np.maximum(means[0], means[1])
    threshold = np.quantile(smooth_TT, 1 - _SHARE_KEPT)
    scaled_TT = (smooth_TT - threshold) / max(float(smooth_TT.max() - threshold), 1e-9)
    score_TT = np.where(smooth_TT > threshold, np.clip(scaled_TT, 0, 1), _PENALTY)
    np.fill_diagonal(score_TT, 1.0)
    return score_TT
