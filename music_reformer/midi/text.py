"""Decodes text in MIDI files (track names, lyrics, markers), which do not say how it is encoded."""

from __future__ import annotations

MAX_SHOWN = 80  # characters of a name that are shown


def decoded(text: bytes) -> str:
    """Decode text as UTF-8 or, if it is not, as the likelier of Shift-JIS and Windows-1252."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        pass
    try:
        japanese = text.decode("cp932")
    except UnicodeDecodeError:
        japanese = ""
    if _is_japanese(japanese):
        return japanese
    return "".join(bytes((byte,)).decode("cp1252", errors="ignore") or chr(byte) for byte in text)


def shown(name: str) -> str:
    """Shorten a name for display: one line of at most `MAX_SHOWN` characters."""
    name = " ".join(name[: 4 * MAX_SHOWN].split())
    return name if len(name) <= MAX_SHOWN else name[: MAX_SHOWN - 1] + "…"


def _is_japanese(text: str) -> bool:
    """Whether text decoded as Shift-JIS is Japanese: accented letters of other languages give isolated characters."""
    wide = [char for char in text if "\u3040" <= char <= "\u30ff" or "\u4e00" <= char <= "\u9fff"]
    kana = any(char < "\u3100" for char in wide)
    other = sum(ord(char) > 0x7F for char in text) - len(wide)
    return len(wide) >= 2 and other <= len(wide) and (kana or 2 * len(wide) >= len(text.replace(" ", "")))
