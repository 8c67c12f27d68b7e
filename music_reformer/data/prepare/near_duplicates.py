"""Finds pieces with nearly the same notes, even transposed or at another tempo, among a million.

A piece is represented by the set of its melodic 6-grams: runs of six intervals between successive notes of a track,
without regard to time. Transposition and tempo leave them unchanged, and adding a track leaves those of the others
unchanged. The MinHash of the set (Broder, 1997) is a signature of fixed size; two signatures are compared only if one
of their bands is equal (Leskovec, Rajaraman and Ullman: Mining of Massive Datasets, chapter 3). In POP909, one pair
shares 0.89 of its 6-grams, every other pair less than 0.1.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import symusic
from datasketch import MinHash
from numpy.typing import NDArray

GRAM = 6
MIN_GRAMS = 12  # with fewer, similarity means little
NUM_HASHES = 128
# 32 bands of 4: a pair that shares half of its 6-grams is compared with probability 0.87, one that shares 0.7 with
# 0.9998.
BAND = 4
# At most this many pieces of a band are compared with all others of it; a band shared by more is no evidence.
MAX_ROUNDS = 50


def signature(score: symusic.Score) -> bytes | None:
    """MinHash of a clean score, uint32 [NUM_HASHES] as bytes; None if it has too few notes."""
    grams = melodic_grams(score)
    if len(grams) < MIN_GRAMS:
        return None
    minhash = MinHash(num_perm=NUM_HASHES, scheme="affine32", hashfunc=int, permutations=_permutations())
    minhash.update_batch(grams.tolist())
    return minhash.hashvalues.astype(np.uint32).tobytes()


def melodic_grams(score: symusic.Score) -> NDArray[np.uint32]:
    """The sorted hashes of the 6-grams of a score, without drums."""
    found = []
    for track in score.tracks:
        if not track.is_drum and len(track.notes) > GRAM:
            columns = track.notes.numpy()
            pitch = columns["pitch"][np.lexsort((columns["pitch"], columns["time"]))]
            # An interval fits into 8 bits, six of them into 48.
            steps = (np.diff(pitch.astype(np.int64)) + 128).astype(np.uint64)
            grams = np.zeros(len(steps) - GRAM + 1, dtype=np.uint64)
            for place in range(GRAM):
                grams = (grams << np.uint64(8)) | steps[place : len(steps) - GRAM + 1 + place]
            found.append(_mix(grams))
    return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.uint32)


def group(signatures: NDArray[np.uint32], present: NDArray[np.bool_], similarity: float) -> NDArray[np.int32]:
    """For each piece, the first piece of its group (itself if it is alone).

    Takes about 40 bytes of memory per piece, and time proportional to their number.

    Args:
        signatures: uint32 [pieces, NUM_HASHES], may be memory-mapped.
        present: whether each piece has a signature, bool [pieces].
        similarity: two pieces whose estimated Jaccard similarity is at least this are near-duplicates.
    """
    parent = np.arange(len(signatures), dtype=np.int32)
    pieces = np.flatnonzero(present).astype(np.int32)
    for begin in range(0, NUM_HASHES, BAND):
        keys = _fold(np.ascontiguousarray(signatures[:, begin : begin + BAND]))[pieces]
        order = np.argsort(keys, kind="stable")
        bounds = np.flatnonzero(np.r_[True, np.diff(keys[order]) != 0, True])
        shared = np.diff(bounds) > 1
        for start, end in zip(bounds[:-1][shared], bounds[1:][shared], strict=True):
            _compare(pieces[order[start:end]], signatures, parent, similarity)
    for piece in range(len(parent)):
        parent[piece] = _root(parent, piece)
    return parent


def _compare(
    members: NDArray[np.int32], signatures: NDArray[np.uint32], parent: NDArray[np.int32], similarity: float
) -> None:
    """Merge the groups of near-duplicates within a band."""
    if len({_root(parent, int(piece)) for piece in members}) == 1:
        return  # already merged by an earlier band
    for _ in range(MAX_ROUNDS):
        if len(members) < 2:
            return
        first, rest = members[0], members[1:]
        alike = (signatures[rest] == signatures[first]).mean(axis=1) >= similarity
        for piece in rest[alike]:
            one, other = sorted((_root(parent, int(first)), _root(parent, int(piece))))
            parent[other] = one
        members = rest[~alike]


def _root(parent: NDArray[np.int32], piece: int) -> int:
    while parent[piece] != piece:
        parent[piece] = parent[parent[piece]]
        piece = int(parent[piece])
    return piece


def estimate(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    """Estimated Jaccard similarity of two sets of 6-grams, from their signatures."""
    return float((one == other).mean())


@cache
def _permutations() -> NDArray[np.uint32]:
    return MinHash(num_perm=NUM_HASHES, scheme="affine32").permutations


def _mix(grams: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Hash 48 bits to 32 (the finalizer of MurmurHash3)."""
    grams = (grams ^ (grams >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    grams = (grams ^ (grams >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return (grams ^ (grams >> np.uint64(33))).astype(np.uint32)


def _fold(band: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """One key for the values of a band, uint64 [pieces]. Collisions do no harm: signatures are compared afterwards."""
    key = np.zeros(len(band), dtype=np.uint64)
    for column in range(band.shape[1]):
        key = key * np.uint64(0x9E3779B97F4A7C15) + band[:, column].astype(np.uint64)
    return key
