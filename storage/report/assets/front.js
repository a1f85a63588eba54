// Two metrics against each other: a point a configuration, with its interval, and the front.

const FRONT_HEIGHT = { narrow: 340, wide: 460 };
const LABEL = { width: 24, height: 14 }; // pixels of a point's number

function frontPlot() {
  const box = el("div", { class: "plot" });
  const chosen = [objectives[0], objectives[1] ?? metrics.find((m) => m !== objectives[0])];
  let width = 0;
  let focused = null;

  const note = el("span");
  const draw = () => {
    if (!width) return;
    note.textContent = leftOut();
    const had = box.contains(document.activeElement);
    const scene = frontScene(width, chosen[0], chosen[1], focused);
    box.replaceChildren(scene);
    if (had) box.querySelector('.point[tabindex="0"]')?.focus();
  };
  box.addEventListener("keydown", (event) => moveFocus(event, box));
  box.addEventListener("focusin", (event) => {
    const point = event.target.closest(".point");
    if (!point) return;
    focused = Number(point.dataset.index);
    box.querySelectorAll(".point").forEach((other) => other.setAttribute("tabindex", other === point ? 0 : -1));
  });
  on("select", draw);
  on("filter", draw);
  const options = metrics.map((metric) => [metric.name, unit(metric)]);
  const pick = (at) => (name) => {
    chosen[at] = metricNamed[name];
    draw();
  };
  byId("front").append(
    el("div", { class: "controls" },
      choice("Across", options, chosen[0].name, pick(0)),
      choice("Up", options, chosen[1].name, pick(1))),
    box,
    el("p", { class: "note" }, note,
      "Bars: standard error over seeds. Filled points are on the front, the fuller the surer; ",
      "the diamond is the knee. Arrow keys move between points, Enter opens a trial's card."),
  );
  fitted(box, (now) => {
    width = now;
    draw();
  });
}

function frontScene(width, across, up, focused) {
  const height = width < 560 ? FRONT_HEIGHT.narrow : FRONT_HEIGHT.wide;
  const scaled = (metric) => (value) => value * (metric.percent ? 100 : 1);
  const kept = shownCount() ? indices.filter((i) => state.shown[i]) : indices;
  const most = (metric) => ceiling(metric.percent, metric.mean.map((mean) => (mean === null ? null : 100 * mean)));
  const reached = (metric, end) => extent(kept.flatMap((i) => {
    const [mean, reach] = [metric.mean[i], metric.error[i] ?? 0];
    return mean === null ? [] : [scaled(metric)(mean - reach), Math.min(scaled(metric)(mean + reach), end)];
  }), 0.05, end);
  const y = linear(reached(up, most(up)), plotHeight(height), ROOM.up);
  const area = plotArea(width, height, y.ticks);
  const x = linear(reached(across, most(across)), area.x);
  const place = (i) => [x.at(scaled(across)(across.mean[i])), y.at(scaled(up)(up.mean[i]))];
  const measured = drawnOnes().filter((i) => across.mean[i] !== null && up.mean[i] !== null);
  const drawn = measured.filter((i) => state.shown[i] || inside(place(i), area));
  const order = (i) => (i === state.selected ? 2 : known.front[i] ? 1 : 0);
  const open = drawn.filter((i) => state.shown[i]);
  const entry = open.includes(focused) ? focused : open.includes(state.selected) ? state.selected : open[0];
  const scene = svg("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
    "aria-label": `${across.label} against ${up.label}, a point for each of ${counted(open.length, "configuration")}`,
  }, axes(area, x, y, unit(across), unit(up)));
  if (across.objective && up.objective && objectives.length === 2) scene.append(frontLine(place, across, up));
  const free = roomForLabels();
  for (const i of [...drawn].sort((a, b) => order(a) - order(b))) {
    const bars = [across, up].map((metric) => (metric.error[i] === null ? null : scaled(metric)(metric.error[i])));
    const [cx, cy] = place(i);
    const reach = [bars[0] && x.at(bars[0]) - x.at(0), bars[1] && y.at(bars[1]) - y.at(0)];
    const lines = [
      reach[0] && { x1: Math.max(cx - reach[0], area.x[0]), x2: Math.min(cx + reach[0], area.x[1]), y1: cy, y2: cy },
      reach[1] && { x1: cx, x2: cx, y1: Math.min(cy - reach[1], area.y[0]), y2: Math.max(cy + reach[1], area.y[1]) },
    ];
    scene.append(point(i, cx, cy, lines.filter(Boolean), i === entry, known.front[i] && free(cx, cy)));
  }
  return scene;
}

// Says of one point after another whether its number would cover no other's.
function roomForLabels() {
  const taken = [];
  return (x, y) => {
    const clear = taken.every(([left, top]) => Math.abs(left - x) >= LABEL.width || Math.abs(top - y) >= LABEL.height);
    if (clear) taken.push([x, y]);
    return clear;
  };
}

// What the filters leave fills the plot; others may lie outside.
function inside([x, y], area) {
  return x >= area.x[0] && x <= area.x[1] && y <= area.y[0] && y >= area.y[1];
}

function frontLine(place, across, up) {
  const front = indices.filter((i) => known.front[i] && state.shown[i]).sort((a, b) => across.mean[a] - across.mean[b]);
  const corners = [];
  front.map(place).forEach(([px, py], at, all) => {
    // what is dominated ends at the worse of two neighbours in each objective
    if (at) corners.push(across.objective === "max" ? [all[at - 1][0], py] : [px, all[at - 1][1]]);
    corners.push([px, py]);
  });
  return svg("path", { class: "front-line", d: path(corners) });
}

function point(index, x, y, bars, inTabOrder, numbered) {
  const front = known.front[index];
  const shown = state.shown[index];
  const knee = index === data.knee;
  const size = front ? 6 : 4.5;
  const classes = ["point", front && "on-front", !shown && "faded", index === state.selected && "selected"];
  const node = svg("g", {
    class: classes.filter(Boolean).join(" "),
    role: shown ? "button" : null,
    tabindex: shown ? (inTabOrder ? 0 : -1) : null,
    "aria-hidden": shown ? null : "true",
    "aria-label": shown ? `${details(index).join("; ")}${knee ? "; the knee" : ""}` : null,
    "aria-pressed": shown ? String(index === state.selected) : null,
    "data-index": index,
  });
  node.append(...bars.map((ends) => svg("line", { class: "bar", ...ends })));
  node.append(svg("circle", { class: "hit", cx: x, cy: y, r: 11 }));
  if (index === state.selected) node.append(svg("circle", { class: "ring", cx: x, cy: y, r: 11 }));
  const fullness = front ? 0.25 + 0.75 * known.probability[index] : 0;
  node.append(
    knee
      ? svg("path", { class: "mark", "fill-opacity": fullness, d: `M${x} ${y - 9}L${x + 9} ${y}L${x} ${y + 9}L${x - 9} ${y}Z` })
      : svg("circle", { class: "mark", "fill-opacity": fullness, cx: x, cy: y, r: size }),
  );
  if (numbered && shown) node.append(svg("text", { x: x + 10, y: y - 9 }, known.trial[index]));
  if (!shown) return node;
  const hint = () => {
    const at = node.querySelector(".hit").getBoundingClientRect();
    tip.show(details(index), at.right, at.bottom);
  };
  for (const event of ["pointerenter", "focus"]) node.addEventListener(event, hint);
  for (const event of ["pointerleave", "blur"]) node.addEventListener(event, tip.hide);
  node.addEventListener("click", () => select(index));
  return node;
}

function moveFocus(event, box) {
  const here = event.target.closest(".point");
  if (!here) return;
  const reachable = [...box.querySelectorAll('.point[role="button"]')]
    .map((node) => [Number(node.querySelector(".hit").getAttribute("cx")), node])
    .sort((a, b) => a[0] - b[0])
    .map(([, node]) => node);
  const at = reachable.indexOf(here);
  const target = {
    ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1,
    Home: 0, End: reachable.length - 1,
  }[event.key];
  if (target !== undefined) reachable[Math.max(0, Math.min(target, reachable.length - 1))].focus();
  else if (event.key === "Enter" || event.key === " ") openCard(Number(here.dataset.index));
  else return;
  event.preventDefault();
}

function openCard(index) {
  select(index);
  tip.hide();
  byId("card").scrollIntoView({ block: "nearest" });
  byId("card").focus({ preventScroll: true });
}
