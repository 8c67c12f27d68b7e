// The keyboard, wherever the visitor is not typing.

const TYPING = "input, select, textarea, [role=dialog]";
const PRESSING = "button, summary, a, label";

/** `actions` by key: what each does, returning false where the browser should go on as usual. */
export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    // A length or style that was just chosen has the focus; the space bar plays all the same.
    const isChoice = event.key === " " && event.target.matches("input[type=radio]");
    if (event.altKey || (event.target.closest(TYPING) && !isChoice)) return;
    const combined = event.ctrlKey || event.metaKey;
    const name = combined ? `Ctrl ${event.shiftKey ? "Shift " : ""}${event.key.toUpperCase()}` : event.key.length === 1 ? event.key.toUpperCase() : event.key;
    // Space and Enter press the button that has the focus.
    if ([" ", "Enter"].includes(event.key) && event.target.closest(PRESSING)) return;
    if (actions[name]?.() === false || !actions[name]) return;
    event.preventDefault();
  });
}
