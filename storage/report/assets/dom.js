// Elements. They are made from text and never from markup: a name in the data stays a name.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const el = (tag, attributes = {}, ...children) =>
  filled(document.createElement(tag), attributes, children);

const svg = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, tag), attributes, children);

const byId = (id) => document.getElementById(id);

function button(text, onclick, attributes = {}) {
  return el("button", { type: "button", onclick, ...attributes }, text);
}

// A labelled choice; options are [value, text].
function choice(label, options, value, onchange) {
  const select = el("select", { onchange: () => onchange(select.value) });
  for (const [own, text] of options) {
    select.append(el("option", { value: own, selected: own === value }, text));
  }
  return el("label", { class: "choice" }, label, " ", select);
}

function plainTable(caption, heads, rows, attributes = {}) {
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    el(
      "table",
      attributes,
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el(
        "tbody",
        {},
        rows.map(([first, ...rest]) =>
          el("tr", {}, el("th", { scope: "row" }, first), rest.map((cell) => el("td", {}, cell)))),
      ),
    ),
  );
}

// Says something to whoever does not see the page.
function say(text) {
  byId("said").textContent = text;
}

// A command line with a button that copies it.
function command(why, text) {
  const copy = button("Copy", () => {
    navigator.clipboard.writeText(text).then(
      () => say("Copied"),
      () => getSelection().selectAllChildren(line),
    );
  }, { "aria-label": `Copy: ${why}` });
  const line = el("code", { tabindex: "0", role: "group", "aria-label": why }, text);
  return el("div", { class: "command" }, el("span", {}, why), el("div", {}, line, copy));
}

// Calls `draw` with a box's width at once and whenever it changes.
function fitted(box, draw) {
  let known = 0;
  const redraw = () => {
    const width = Math.floor(box.clientWidth);
    if (width > 0 && width !== known) draw((known = width));
  };
  new ResizeObserver(redraw).observe(box);
  redraw();
}

const tip = {
  show(lines, x, y) {
    const box = byId("tip");
    box.replaceChildren(...lines.map((line, at) => el(at ? "div" : "strong", {}, line)));
    box.hidden = false;
    const left = Math.min(x + 14, innerWidth - box.offsetWidth - 8);
    const top = y + box.offsetHeight + 24 > innerHeight ? y - box.offsetHeight - 14 : y + 14;
    box.style.left = `${Math.max(8, left)}px`;
    box.style.top = `${Math.max(8, top)}px`;
  },
  hide() {
    byId("tip").hidden = true;
  },
};
