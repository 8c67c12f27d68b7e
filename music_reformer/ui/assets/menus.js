// Menus that drop down: a click elsewhere, or Escape, closes them.

/** Close the open menus, except one that contains `inside`. Returns whether any were open. */
export function closeMenus(inside = null) {
  const menus = [...document.querySelectorAll("details.menu[open]")].filter((menu) => !menu.contains(inside));
  for (const menu of menus) {
    if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
    menu.open = false;
  }
  return menus.length > 0;
}

document.addEventListener("click", (event) => closeMenus(event.target));
