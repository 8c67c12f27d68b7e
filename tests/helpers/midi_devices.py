"""A stand-in for `requestMIDIAccess`: two output ports that record messages, and a keyboard that tests can play."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Run before the page's own script. `window.sent`: [[port, bytes, time in milliseconds, when it was sent]].
PLUG_IN = """window.sent = [];
window.asked = 0;
{
  const output = (name) => ({
    id: name, name, state: 'connected',
    send(data, when) { sent.push([name, [...data], when ?? performance.now(), performance.now()]); },
  });
  const outputs = new Map(['Rack', 'DAW'].map((name) => [name, output(name)]));
  const keyboard = { id: 'Keys', name: 'Keys', state: 'connected', onmidimessage: null };
  const access = { outputs, inputs: new Map([['Keys', keyboard]]), onstatechange: null };
  navigator.requestMIDIAccess = async () => { asked++; return access; };
  window.unplug = (name) => { outputs.delete(name); access.onstatechange?.({}); };
  window.press = (data, timeStamp) => keyboard.onmidimessage?.({ data: new Uint8Array(data), timeStamp });
}"""


@dataclass(frozen=True)
class Sent:
    """A message that the page sent to a port: its bytes, its timestamp, and when it was sent, in seconds."""

    data: tuple[int, ...]
    time: float
    left: float

    @property
    def kind(self) -> int:
        """Its first byte, without the channel of a channel message."""
        return self.data[0] & 0xF0 if self.data[0] < 0xF0 else self.data[0]


def messages(tab: Any, port: str = "Rack") -> list[Sent]:
    """All messages sent to a port, in the order of sending."""
    rows = tab.evaluate("sent")
    return [Sent(tuple(data), time / 1000, left / 1000) for name, data, time, left in rows if name == port]


def forget(tab: Any) -> None:
    tab.evaluate("sent.length = 0")


def choose_port(tab: Any, port: str = "Rack") -> None:
    """Ask for the devices, and play through one."""
    if not tab.evaluate("document.querySelector('#midi').open"):
        tab.click("#midi summary")
    if tab.is_visible("#midi-open"):
        tab.click("#midi-open")
    tab.select_option("#midi-output", port)
