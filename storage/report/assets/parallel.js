// Parallel coordinates: an axis for each parameter that varies and each objective, a line a
// configuration. Narrow pages have the axes lying. Dragging along an axis filters its column.

const UPRIGHT = 620; // pixels from which on the axes stand
const TAKEN = 8; // pixels of a drag below which it is a click

function parallelPlot() {
  const shown = [
    ...parameters.filter((p) => new Set(p.values).size > 1).map((p) => columnOf[p.name]),
    ...objectives.map((metric) => columnOf[metric.name]),
  ];
  const box = el("div", { class: "plot" });
  let width = 0;
  const note = el("span");
  const draw = () => {
    if (!width) return;
    note.textContent = leftOut();
    box.replaceChildren(parallelScene(shown, width));
  };
  on("select", draw);
  on("filter", draw);
  byId("parallel").append(
    box,
    el("p", { class: "note" }, note,
      "Click a line for its card; drag along an axis to keep a range, click the axis to let go. ",
      "The same ranges can be written above the columns of the table."),
  );
  fitted(box, (now) => {
    width = now;
    draw();
  });
}

function parallelScene(shown, width) {
  const upright = width >= UPRIGHT;
  const height = upright ? 330 : 66 * shown.length + 20;
  const along = upright ? [height - 34, 42] : [26, width - 26]; // where an axis begins and ends
  const cross = upright ? [46, width - 46] : [34, height - 34];
  const gap = shown.length > 1 ? (cross[1] - cross[0]) / (shown.length - 1) : 0;
  const scales = shown.map((column) => columnScale(column, along));
  const spot = (at, pixel) => (upright ? [cross[0] + gap * at, pixel] : [pixel, cross[0] + gap * at]);
  const scene = svg("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Parallel coordinates of ${shown.map((c) => c.label).join(", ")}`,
  });
  const order = (i) => (i === state.selected ? 3 : known.front[i] ? 2 : state.shown[i] ? 1 : 0);
  for (const i of [...drawnOnes()].sort((a, b) => order(a) - order(b))) {
    const points = shown.map((column, at) => {
      const value = column.number(i);
      return value === null ? null : spot(at, scales[at].at(value));
    });
    if (points.filter(Boolean).length > 1) scene.append(parallelLine(i, points.filter(Boolean)));
  }
  shown.forEach((column, at) => scene.append(parallelAxis(column, scales[at], along, at, spot, upright)));
  return scene;
}

function columnScale(column, along) {
  const parameter = column.parameter;
  const values = indices.map(column.number).filter((value) => value !== null);
  if (parameter?.levels) return ordinal(parameter.levels, along);
  if (values.some((value) => typeof value !== "number")) return ordinal([...new Set(values)].sort(), along);
  const ends = extent(values);
  return parameter?.log ? logarithmic(ends, along) : linear(ends, along);
}

function parallelLine(index, points) {
  const classes = ["line", known.front[index] && "on-front", !state.shown[index] && "faded",
    index === state.selected && "selected"];
  const node = svg("g", { class: classes.filter(Boolean).join(" "), "data-index": index },
    svg("path", { class: "hit", d: path(points) }), svg("path", { class: "stroke", d: path(points) }));
  if (!state.shown[index]) return node;
  node.addEventListener("pointermove", (event) => tip.show(details(index), event.clientX, event.clientY));
  node.addEventListener("pointerleave", tip.hide);
  node.addEventListener("click", () => {
    tip.hide();
    select(index);
  });
  return node;
}

function parallelAxis(column, scale, along, at, spot, upright) {
  const [x1, y1] = spot(at, along[0]);
  const [x2, y2] = spot(at, along[1]);
  const kept = state.filters[column.key];
  const group = svg("g", { class: kept ? "axis kept" : "axis" },
    svg("line", { x1, y1, x2, y2 }),
    svg("line", { class: "hit", x1, y1, x2, y2 }));
  for (const [value, text] of scale.ticks) {
    const [x, y] = spot(at, scale.at(value));
    const here = upright ? { x: x + 6, y: y + 4 } : { x, y: y + 16, "text-anchor": "middle" };
    group.append(svg("text", here, text));
  }
  const name = column.metric ? unit(column.metric) : column.label;
  const title = kept ? `${name}: ${kept.text}` : name;
  group.append(svg("text", upright
    ? { class: "name", x: x1, y: 18 + 13 * (at % 2), "text-anchor": "middle" }
    : { class: "name", x: 4, y: y1 - 10 }, title));
  group.addEventListener("pointerdown", (event) => brush(event, group, column, scale, along, upright));
  return group;
}

// Follows a drag along an axis, and filters its column by what lies in it.
function brush(event, group, column, scale, along, upright) {
  const view = group.ownerSVGElement;
  const pixel = (at) => {
    const frame = view.getBoundingClientRect();
    const raw = upright ? at.clientY - frame.top : at.clientX - frame.left;
    return Math.min(Math.max(raw, Math.min(...along)), Math.max(...along));
  };
  const start = pixel(event);
  event.preventDefault();
  view.addEventListener("pointerup", (ended) => {
    const [low, high] = [start, pixel(ended)].sort((a, b) => a - b);
    if (high - low < TAKEN) return setFilter(column.key, "");
    const inside = indices.map(column.number).filter((value) => {
      const at = value === null ? NaN : scale.at(value);
      return at >= low && at <= high;
    });
    if (!inside.length || typeof inside[0] !== "number") return setFilter(column.key, inside[0] ?? "");
    const [least, most] = [Math.min(...inside), Math.max(...inside)].map((value) => Number(value.toPrecision(6)));
    return setFilter(column.key, `${least - Math.abs(least) * 1e-6} .. ${most + Math.abs(most) * 1e-6}`);
  }, { once: true });
}
