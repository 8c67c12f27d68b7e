// The keyboard, wherever the visitor is not typing.

const TYPING = "input, select, textarea, [role=dialog]";
const PRESSING = "button, summary, a, label";

/** `actions` by key: what each does, returning false where the browser should go on as usual. `first()` gives those that
 *  come before them at this moment. */
export function listenToKeys(actions, { first = () => ({}) } = {}) {
  document.addEventListener("keydown", (event) => {
    // A length or style that was just chosen has the focus; the space bar plays all the same.
    const isChoice = event.key === " " && event.target.matches("input[type=radio]");
    if (event.altKey || (event.target.closest(TYPING) && !isChoice)) return;
    const combined = event.ctrlKey || event.metaKey;
    const name = combined ? `Ctrl ${event.shiftKey ? "Shift " : ""}${event.key.toUpperCase()}` : event.key.length === 1 ? event.key.toUpperCase() : event.key;
    // Space and Enter press the button that has the focus.
    if ([" ", "Enter"].includes(event.key) && event.target.closest(PRESSING)) return;
    const action = first()[name] ?? actions[name];
    if (!action || action(event) === false) return;
    event.preventDefault();
  });
}
