"""Records what a page sends to its synthesizer and metronome, with the times of the audio clock."""

from __future__ import annotations

from typing import Any

import symusic

# Run before the page's own script. `window.heard`: {"clicks": [[time, isFirst, sent]], "notes": [[time, pitch, loud]]}.
LISTEN = """window.heard = { clicks: [], notes: [] };
// The page's time in milliseconds at which a moment of the audio clock is heard.
window.pageTime = (time) => {
  const { contextTime, performanceTime } = heard.context.getOutputTimestamp();
  return performanceTime + (time - contextTime) * 1000;
};
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when) {
  const samples = this.buffer.getChannelData(0);
  let crossings = 0;
  for (let place = 1; place < samples.length; place++) crossings += samples[place - 1] < 0 && samples[place] >= 0;
  heard.context = this.context;
  heard.clicks.push([when, crossings / this.buffer.duration > 1300, this.context.currentTime]);
  start.call(this, when);
};
const post = MessagePort.prototype.postMessage;
MessagePort.prototype.postMessage = function (message, ...rest) {
  const { messageData, options } = message?.data ?? {};
  if (messageData && (messageData[0] & 0xf0) === 0x90) heard.notes.push([options.time, messageData[1], messageData[2]]);
  return post.call(this, message, ...rest);
};"""

BEATS = 25  # of `beaten_score`, before its last bar


def beaten_score() -> symusic.Score:
    """A note on every beat, loud on the first of a bar: 4/4, 3/4 and 6/8 (two beats), with three tempos."""
    score = symusic.Score(480)
    for tick, metre in ((0, (4, 4)), (2 * 1920, (3, 4)), (2 * 1920 + 3 * 1440, (6, 8))):
        score.time_signatures.append(symusic.TimeSignature(tick, *metre))
    for tick, tempo in ((0, 240), (1920 + 480, 150), (2 * 1920 + 1440, 200)):
        score.tempos.append(symusic.Tempo(tick, tempo))
    track = symusic.Track("Beats", 115, False)
    bars = [[0, 480, 960, 1440]] * 2 + [[0, 480, 960]] * 3 + [[0, 720]] * 4
    begin = 0
    for bar in bars:
        for beat in bar:
            track.notes.append(symusic.Note(begin + beat, 120, 60, 60 if beat else 110))
        begin += {4: 1920, 3: 1440, 2: 1440}[len(bar)]
    score.tracks.append(track)
    return score


def clicks_and_notes(tab: Any) -> tuple[list[tuple[float, bool]], list[tuple[float, bool]]]:
    """Both as (time of the audio clock, whether it begins a bar)."""
    heard = tab.evaluate("({ clicks: heard.clicks, notes: heard.notes })")
    clicks = [(time, first) for time, first, _ in heard["clicks"]]
    return clicks, [(time, velocity > 100) for time, _, velocity in heard["notes"] if time]


def sent_at(tab: Any) -> list[float]:
    """When each click was sent: on a busy machine, perhaps after its time, so that it sounds at once."""
    return [now for _, _, now in tab.evaluate("heard.clicks")]
