// Curves: several series over one axis, with a legend and the values under the pointer.

const LINES = 6; // styles of lines in style.css

// Each series: name, x, y, and where wanted: stepped, band {low, high}, tail: how far its last value goes on.
function lineChart({ series, xName, yName, label, log = false, whole = false, height = 220, scaleY = 1 }) {
  const box = el("div", { class: "plot" });
  const legend = series.length < 2 ? null : el("ul", { class: "legend" },
    series.map((one, at) => el("li", {},
      svg("svg", { width: 26, height: 10, "aria-hidden": "true" },
        svg("line", { class: `curve curve-${at % LINES}`, x1: 1, x2: 25, y1: 5, y2: 5 })),
      one.name)));
  fitted(box, (width) => {
    box.replaceChildren(lineScene(series, { width, height, xName, yName, label, log, whole, scaleY }));
  });
  return el("figure", {}, legend, box);
}

function lineScene(series, { width, height, xName, yName, label, log, whole, scaleY }) {
  const all = (pick) => series.flatMap((one) => pick(one).filter((value) => value !== null));
  const high = all((one) => [...one.y, ...(one.band ? [...one.band.low, ...one.band.high] : [])]);
  const heights = high.map((value) => value * scaleY);
  const y = linear(extent(heights, 0.06, ceiling(scaleY === 100, heights)), plotHeight(height), ROOM.up);
  const area = plotArea(width, height, y.ticks);
  const ends = extent(all((one) => [...one.x, ...(one.tail ? [one.x.at(-1) + one.tail] : [])]));
  const single = ends[0] >= ends[1] || all((one) => one.x).length < 2;
  const x = log && ends[0] > 0 && !single ? logarithmic(ends, area.x) : linear(ends, area.x, ROOM.across, whole);
  const scene = svg("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label,
  }, axes(area, x, y, xName, yName));
  series.forEach((one, at) => {
    const place = (values) => one.x.map((value, i) => [value, values[i]])
      .filter(([, value]) => value !== null)
      .map(([left, value]) => [x.at(left), y.at(value * scaleY)]);
    const line = (values) => {
      const found = place(values);
      if (one.tail) found.push([x.at(one.x.at(-1) + one.tail), found.at(-1)[1]]);
      return one.stepped ? steps(found) : found;
    };
    if (one.band) {
      const outline = [...line(one.band.high), ...line(one.band.low).reverse()];
      scene.append(svg("path", { class: "band", d: `${path(outline)}Z` }));
    }
    const points = place(one.y);
    scene.append(svg("path", { class: `curve curve-${at % LINES}`, d: path(line(one.y)) }));
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
