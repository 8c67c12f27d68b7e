"""Sheet music that tests make: our own notes, nobody's music."""

from __future__ import annotations

import io
import zipfile

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<score-partwise version="4.0">'


def note(step: str, octave: int, length: int, extra: str = "", before: str = "") -> str:
    """A note of a length in eighths of a quarter."""
    pitch = f"<pitch><step>{step[0]}</step>{'<alter>1</alter>' if '#' in step else ''}<octave>{octave}</octave></pitch>"
    return f"<note>{before}{pitch}<duration>{length}</duration><voice>1</voice>{extra}</note>"


def song() -> str:
    """A song in 3/4 with a pickup: a voice with lyrics and a repeat, a piano of two staves, and drums.

    Allegretto, then 80 quarters a minute at the repeat's end; G major; piano, then forte.
    """
    attributes = (
        "<attributes><divisions>8</divisions><key><fifths>1</fifths><mode>major</mode></key><time><beats>3</beats>"
        "<beat-type>4</beat-type></time>{}<clef><sign>{}</sign><line>{}</line></clef></attributes>"
    )
    words = "<direction><direction-type><words>Allegretto</words></direction-type></direction>"
    dynamic = "<direction><direction-type><dynamics><{}/></dynamics></direction-type></direction>"
    slow = (
        "<direction><direction-type><metronome><beat-unit>quarter</beat-unit><per-minute>80</per-minute></metronome>"
        '</direction-type><sound tempo="80"/></direction>'
    )
    lyric = "<lyric><syllabic>{}</syllabic><text>{}</text></lyric>"
    tie_from = '<notations><tied type="start"/></notations>'
    tie_to = '<notations><tied type="stop"/></notations>'
    voice = [
        '<measure number="0" implicit="yes">' + attributes.format("", "G", 2) + words + dynamic.format("p")
        + note("D", 5, 8, lyric.format("single", "O")) + "</measure>",
        '<measure number="1"><barline location="left"><repeat direction="forward"/></barline>'
        + note("G", 5, 16, lyric.format("begin", "sum")) + note("F#", 5, 8, lyric.format("end", "mer")) + "</measure>",
        '<measure number="2">' + dynamic.format("f") + note("E", 5, 16)
        + note("D", 5, 8, tie_from).replace("<voice>", '<tie type="start"/><voice>')
        + '<barline location="right"><repeat direction="backward"/></barline></measure>',
        '<measure number="3">' + slow
        + note("D", 5, 24, tie_to).replace("<voice>", '<tie type="stop"/><voice>') + "</measure>",
    ]  # fmt: skip
    upper = "<staff>1</staff>"
    chord = note("G", 4, 24, upper) + note("B", 4, 24, upper, before="<chord/>")
    low = "<backup><duration>24</duration></backup>" + note("G", 2, 24, "<staff>2</staff>").replace(
        "<voice>1</voice>", "<voice>5</voice>"
    )
    piano = [
        '<measure number="0" implicit="yes">' + attributes.format("<staves>2</staves>", "G", 2)
        + "<note><rest/><duration>8</duration><voice>1</voice></note></measure>",
        *(f'<measure number="{bar}">' + chord + low + "</measure>" for bar in (1, 2, 3)),
    ]  # fmt: skip
    hit = (
        "<note><unpitched><display-step>C</display-step><display-octave>5</display-octave></unpitched>"
        '<duration>{}</duration><instrument id="P3-I39"/><voice>1</voice></note>'
    )
    drums = [
        '<measure number="0" implicit="yes">' + attributes.format("", "percussion", 2) + hit.format(8) + "</measure>",
        *(f'<measure number="{bar}">' + 3 * hit.format(8) + "</measure>" for bar in (1, 2, 3)),
    ]
    instrument = '<score-instrument id="{0}"><instrument-name>{1}</instrument-name></score-instrument>'
    midi = (
        '<midi-instrument id="{0}"><midi-channel>{1}</midi-channel><midi-program>{2}</midi-program>{3}'
        "</midi-instrument>"
    )
    return (
        f"{HEAD}<work><work-title>Our Song</work-title></work>"
        '<identification><creator type="composer">Nobody</creator></identification><part-list>'
        '<score-part id="P1"><part-name>Voice</part-name>' + instrument.format("P1-I1", "Voice")
        + midi.format("P1-I1", 1, 54, "") + "</score-part>"
        '<score-part id="P2"><part-name>Piano</part-name>' + instrument.format("P2-I1", "Piano")
        + midi.format("P2-I1", 2, 1, "") + "</score-part>"
        '<score-part id="P3"><part-name>Drums</part-name>' + instrument.format("P3-I39", "Snare")
        + midi.format("P3-I39", 10, 1, "<midi-unpitched>39</midi-unpitched>") + "</score-part></part-list>"
        + "".join(
            f'<part id="P{number}">{"".join(bars)}</part>' for number, bars in enumerate((voice, piano, drums), 1)
        )
        + "</score-partwise>"
    )  # fmt: skip


def compressed(xml: str, *, root: str = "score.xml", named: bool = True) -> bytes:
    """MusicXML as an .mxl file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        if named:
            archive.writestr(
                "META-INF/container.xml",
                f'<container><rootfiles><rootfile full-path="{root}"/></rootfiles></container>',
            )
        archive.writestr(root, xml)
    return packed.getvalue()


ABC = """X:1
T:Our Reel
C:Nobody
M:4/4
L:1/8
Q:1/4=100
K:D
|: A2 | d2fd e2ge | f2d2 d2 :|
"""
