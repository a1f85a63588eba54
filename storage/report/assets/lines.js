// Curves: several series over one axis, with a legend and the values under the pointer.

const LINES = 6; // styles of lines in style.css

// Each series: name, x, y, and where wanted: stepped, band {low, high}.
function lineChart({ series, xName, yName, label, log = false, height = 220, scaleY = 1 }) {
  const box = el("div", { class: "plot" });
  const legend = series.length < 2 ? null : el("ul", { class: "legend" },
    series.map((one, at) => el("li", {},
      svg("svg", { width: 26, height: 10, "aria-hidden": "true" },
        svg("line", { class: `curve curve-${at % LINES}`, x1: 1, x2: 25, y1: 5, y2: 5 })),
      one.name)));
  fitted(box, (width) => {
    box.replaceChildren(lineScene(series, { width, height, xName, yName, label, log, scaleY }));
  });
  return el("figure", {}, legend, box);
}

function lineScene(series, { width, height, xName, yName, label, log, scaleY }) {
  const area = plotArea(width, height);
  const all = (pick) => series.flatMap((one) => pick(one).filter((value) => value !== null));
  const high = all((one) => [...one.y, ...(one.band ? [...one.band.low, ...one.band.high] : [])]);
  const ends = extent(all((one) => one.x));
  const single = ends[0] >= ends[1] || all((one) => one.x).length < 2;
  const x = log && ends[0] > 0 && !single ? logarithmic(ends, area.x) : linear(ends, area.x);
  const y = linear(extent(high.map((value) => value * scaleY), 0.06), area.y, ROOM.up);
  const scene = svg("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label,
  }, axes(area, x, y, xName, yName));
  series.forEach((one, at) => {
    const place = (values) => one.x.map((value, i) => [value, values[i]])
      .filter(([, value]) => value !== null)
      .map(([left, value]) => [x.at(left), y.at(value * scaleY)]);
    if (one.band) {
      const outline = [...place(one.band.high), ...place(one.band.low).reverse()];
      scene.append(svg("path", { class: "band", d: `${path(outline)}Z` }));
    }
    const points = place(one.y);
    const d = one.stepped ? steps(points) : path(points);
    scene.append(svg("path", { class: `curve curve-${at % LINES}`, d }));
    if (points.length < 12) {
      points.forEach(([cx, cy]) => scene.append(svg("circle", { class: `dot dot-${at % LINES}`, cx, cy, r: 3 })));
    }
  });
  scene.addEventListener("pointermove", (event) => {
    const wanted = x.back(event.clientX - scene.getBoundingClientRect().left);
    tip.show([xName, ...series.map((one) => readout(one, wanted, scaleY))], event.clientX, event.clientY);
  });
  scene.addEventListener("pointerleave", tip.hide);
  return scene;
}

function readout(one, wanted, scaleY) {
  let best = 0;
  one.x.forEach((value, i) => {
    if (Math.abs(value - wanted) < Math.abs(one.x[best] - wanted)) best = i;
  });
  const value = one.y[best];
  return `${one.name} at ${plain(one.x[best])}: ${value === null ? ABSENT : plain(value * scaleY)}`;
}
