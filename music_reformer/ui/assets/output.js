// What the player sends the music to: the synthesizer, the metronome, a MIDI port. Times are those of the audio clock, a
// moment ahead; without one, a call means now. An output does what concerns it, and nothing else.

export class Output {
  /** These are the tracks from now on; notes and moves name one by its place. */
  assign(tracks) {}
  /** Instruments, and controllers after `moves`. */
  reset(moves) {}
  /** The music sounds from `position` (seconds of `score`); `at(seconds)` is when. */
  begin({ score, position, at }) {}
  /** The music between two moments comes next: `from` is before the position while a bar is counted in. */
  span({ score, from, until, at }) {}
  /** The music goes on from `position` at `time`: a loop has come round. */
  turn({ score, position, time, at }) {}
  /** The music stands still until it turns: its next notes are still being composed. */
  wait() {}
  noteOn(note, time) {}
  noteOff(note, time) {}
  move(move, time) {}
  /** These tracks (a set of places) are not heard any more. */
  silence(places) {}
  /** A key has gone down or up, {track, pitch, velocity, isOn}, or the pedal has moved, {track, number, value}. */
  live(event) {}
  /** Let a note be heard for a moment. */
  preview(note) {}
  /** Silence at once. `ahead`: seconds until all that was sent would have sounded. */
  hush(ahead) {}
}
