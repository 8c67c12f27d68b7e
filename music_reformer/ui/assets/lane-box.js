// The small box that drops down from a lane: a dialog with a few fields and buttons. Escape, or a press elsewhere, closes it.

const MARGIN = 8;

/** Make an element with these properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A field for a whole number from 1 to `max`. */
export function numberField(label, value, max) {
  return make("input", { type: "number", min: 1, max, step: 1, value, required: true, ariaLabel: label });
}

export class LaneBox {
  #element = null;
  #back = null;

  /** `host` is the element that the box is attached to. */
  constructor({ host }) {
    this.host = host;
    document.addEventListener("pointerdown", (event) => { if (!this.#element?.contains(event.target)) this.close(); });
  }

  /** Open the box `at` pixels from the left. Each of `rows` is {fields (elements), name (of its button), use}; `buttons` are
   *  [name, use]. Using any of them closes the box; then `back()` returns the focus. */
  open({ at, label, rows, buttons = [], hint = "", back }) {
    this.close();
    this.#back = back;
    const used = (use) => (event) => { event.preventDefault(); this.close(); use(); back(); };
    const forms = rows.map(({ fields, name, use }) => {
      const form = make("form", { className: "lane-row" }, ...fields, make("button", { type: "submit", className: "button", textContent: name }));
      form.addEventListener("submit", used(use));
      return form;
    });
    const others = buttons.map(([name, use]) => {
      const button = make("button", { type: "button", className: "button quiet", textContent: name });
      button.addEventListener("click", used(use));
      return button;
    });
    const box = make("div", { className: "lane-box", role: "dialog", ariaLabel: label }, make("b", { textContent: label }), ...forms);
    if (others.length) box.append(make("div", { className: "lane-row" }, ...others));
    if (hint) box.append(make("p", { className: "hint", textContent: hint }));
    box.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("focusout", ({ relatedTarget }) => { if (relatedTarget && !box.contains(relatedTarget)) this.close(); });
    this.#element = box;
    this.host.append(box);
    const most = this.host.clientWidth - box.offsetWidth - MARGIN;
    box.style.left = `${Math.max(Math.min(at - MARGIN, most), MARGIN)}px`;
    box.querySelector("input, button").focus();
  }

  #key(event) {
    event.stopPropagation();
    if (event.key !== "Escape") return;
    event.preventDefault();
    this.close();
    this.#back();
  }

  close() {
    const box = this.#element;
    this.#element = null;
    box?.remove();
  }
}
