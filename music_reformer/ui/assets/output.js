// The interface of the player's outputs: the synthesizer, the metronome, a MIDI port. Times are those of the audio clock, slightly
// ahead; a call without a time means now. An output overrides the methods that concern it.

export class Output {
  /** Set the tracks; notes and moves refer to them by place. */
  assign(tracks) {}
  /** Set the instruments, and the controllers by `moves`. */
  reset(moves) {}
  /** The music starts at `position` (seconds of `score`); `at(seconds)` returns the time of a position. */
  begin({ score, position, at }) {}
  /** Send the music between two positions; `from` is before the start position during a count-in. */
  span({ score, from, until, at }) {}
  /** The music jumps to `position` at `time`: a loop starts over. */
  turn({ score, position, time, at }) {}
  /** The music pauses until the next `turn`: its next notes are still being composed. */
  wait() {}
  noteOn(note, time) {}
  noteOff(note, time) {}
  move(move, time) {}
  /** Silence these tracks (a set of places). */
  silence(places) {}
  /** A key was pressed or released, {track, pitch, velocity, isOn}, or the pedal moved, {track, number, value}. */
  live(event) {}
  /** Play a note briefly. */
  preview(note) {}
  /** Silence everything at once. `ahead`: seconds until everything sent would have sounded. */
  hush(ahead) {}
}
