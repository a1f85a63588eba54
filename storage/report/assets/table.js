// All configurations: sorted, filtered, and a page of rows at a time.

const PAGE_ROWS = 25;
const BESIDE = ["sid", "test_accuracy", "test_plausibility"]; // shown with the objectives

function configurationTable() {
  const view = {
    visible: new Set([
      "trial",
      ...parameters.map((p) => p.name),
      ...objectives.map((m) => m.name),
      "probability",
      ...BESIDE.filter((name) => name in metricNamed),
    ]),
    sorted: objectives[0].name,
    down: objectives[0].objective === "max",
    page: 0,
  };
  const head = el("thead");
  const body = el("tbody");
  const pager = el("div", { class: "pager" });
  const refresh = () => {
    const rows = sortedRows(view);
    const pages = Math.max(1, Math.ceil(rows.length / PAGE_ROWS));
    view.page = Math.min(view.page, pages - 1);
    const page = rows.slice(view.page * PAGE_ROWS, (view.page + 1) * PAGE_ROWS);
    const shown = columns.filter((column) => view.visible.has(column.key));
    body.replaceChildren(...page.map((index) => tableRow(index, shown)));
    if (!page.length) body.append(el("tr", {}, el("td", { colspan: shown.length }, "No configuration passes the filters.")));
    const turn = (by) => () => {
      view.page += by;
      refresh();
    };
    pager.replaceChildren(
      button("Previous", turn(-1), { disabled: view.page === 0 }),
      el("span", {}, `page ${view.page + 1} of ${pages}, ${counted(rows.length, "configuration")}`),
      button("Next", turn(1), { disabled: view.page >= pages - 1 }),
    );
  };
  const rebuild = () => {
    head.replaceChildren(...tableHead(view, rebuild));
    refresh();
  };
  on("select", refresh);
  on("filter", () => {
    view.page = 0;
    for (const field of head.querySelectorAll("input")) {
      const text = state.filters[field.dataset.key]?.text ?? "";
      if (field !== document.activeElement) field.value = text;
    }
    refresh();
  });
  byId("table").append(
    el("p", { class: "note" },
      "Mean ± standard error over seeds, fractions in percent. Click a heading to sort. Filters: ",
      el("code", {}, ">= 80"), ", ", el("code", {}, "1..4"), ", a value, or part of a word; ",
      "they act on the plots, too."),
    columnChooser(view, rebuild),
    el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Rows of configurations" },
      el("table", { class: "configurations" }, head, body)),
    pager,
  );
  rebuild();
}

function sortedRows(view) {
  const column = columnOf[view.sorted];
  const sign = view.down ? -1 : 1;
  const compare = (a, b) => {
    const [left, right] = [column.number(a), column.number(b)];
    if (left === null || right === null) return (left === null) - (right === null);
    const less = typeof left === "number" && typeof right === "number"
      ? left - right : String(left).localeCompare(String(right));
    return sign * less || a - b;
  };
  return indices.filter((i) => state.shown[i]).sort(compare);
}

function tableHead(view, rebuild) {
  const shown = columns.filter((column) => view.visible.has(column.key));
  const sort = (key) => () => {
    view.down = view.sorted === key ? !view.down : columnOf[key].metric !== undefined || key === "probability";
    view.sorted = key;
    view.page = 0;
    rebuild();
    byId("table").querySelector(`button[data-key="${CSS.escape(key)}"]`).focus();
  };
  const way = (key) => (view.sorted !== key ? "none" : view.down ? "descending" : "ascending");
  return [
    el("tr", {}, shown.map(({ key, label }) => el("th", { scope: "col", "aria-sort": way(key) },
      button(label, sort(key), { class: "sort", "data-key": key })))),
    el("tr", { class: "filter-row" }, shown.map(({ key, label }) => el("td", {}, filterField(key, label)))),
  ];
}

function filterField(key, label) {
  const field = el("input", {
    type: "text", "data-key": key, "aria-label": `Filter ${label}`, placeholder: "filter", size: "6",
    value: state.filters[key]?.text ?? "", autocomplete: "off", spellcheck: "false",
  });
  field.addEventListener("input", () => {
    const understood = setFilter(key, field.value);
    field.setAttribute("aria-invalid", String(!understood));
    if (!understood) say("This filter is not understood. Examples: >= 80, 1..4, a value");
  });
  return field;
}

function tableRow(index, shown) {
  const classes = [known.front[index] && "on-front", index === state.selected && "selected"];
  const row = el("tr", { class: classes.filter(Boolean).join(" ") || null, "data-index": index });
  row.append(...shown.map((column) => {
    if (column.key !== "trial") return el("td", {}, column.text(index));
    const mark = known.front[index] ? " ★" : known.failed[index] ? " failed" : "";
    return el("th", { scope: "row" },
      button(`${column.text(index)}${mark}`, () => openCard(index), {
        class: "link", "aria-label": `Card of trial ${column.text(index)}${known.front[index] ? ", on the front" : ""}`,
      }));
  }));
  row.addEventListener("click", (event) => {
    if (!event.target.closest("button")) select(index);
  });
  return row;
}

function columnChooser(view, rebuild) {
  return el("details", {}, el("summary", {}, "Columns"),
    el("div", { class: "checks" }, columns.filter((column) => column.key !== "trial").map(({ key, label }) => {
      const box = el("input", { type: "checkbox", checked: view.visible.has(key) });
      box.addEventListener("change", () => {
        if (box.checked) view.visible.add(key);
        else view.visible.delete(key);
        rebuild();
      });
      return el("label", {}, box, " ", label);
    })));
}
