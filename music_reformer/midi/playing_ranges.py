"""Usual playing ranges of General MIDI instruments, for instruments without notes in a piece."""

from __future__ import annotations

# By family of eight programs: lowest and highest MIDI pitch of ordinary parts, not of virtuosos.
_FAMILIES = (
    (36, 88), (60, 96), (36, 84), (40, 79), (28, 55), (40, 88), (43, 84), (40, 77),
    (49, 82), (60, 91), (48, 88), (40, 84), (40, 84), (48, 81), (45, 84), (36, 84),
)  # fmt: skip
# Where an instrument differs from its family.
_OF_ITS_OWN = {
    9: (77, 106), 11: (53, 89), 12: (45, 89), 14: (60, 77),  # glockenspiel, vibraphone, marimba, tubular bells
    22: (60, 91),  # harmonica
    40: (55, 91), 41: (48, 81), 42: (36, 70), 43: (28, 55), 46: (36, 91), 47: (40, 57),  # strings, harp, timpani
    52: (43, 79), 53: (43, 79), 54: (43, 79),  # voices
    56: (55, 80), 57: (41, 70), 58: (29, 58), 59: (55, 80), 60: (41, 75),  # brass
    64: (58, 85), 65: (49, 80), 66: (44, 75), 67: (37, 68),  # saxophones
    68: (58, 86), 69: (52, 79), 70: (34, 68), 71: (50, 86), 72: (74, 100), 73: (60, 91),  # woodwinds
}  # fmt: skip


def usual_range(program: int) -> tuple[int, int]:
    """Lowest and highest pitch that a program, 0 to 127, usually plays."""
    return _OF_ITS_OWN.get(program, _FAMILIES[program // 8])
