// The frame of a plot: grid, ticks and names of its two axes.

const MARGIN = { left: 50, right: 14, top: 12, bottom: 44 };
const TICK = { letter: 6.8, beside: 30 }; // pixels of a letter, and of what else is left of the plot

function plotHeight(height) {
  return [height - MARGIN.bottom, MARGIN.top];
}

// Leaves room for the ticks of the upright axis beside its name.
function plotArea(width, height, ticks) {
  const longest = Math.max(0, ...ticks.map(([, text]) => text.length));
  const left = Math.max(MARGIN.left, TICK.beside + TICK.letter * longest);
  return { x: [left, width - MARGIN.right], y: plotHeight(height) };
}

function axes(area, x, y, xName, yName) {
  const [left, right] = area.x;
  const [bottom, top] = area.y;
  const grid = svg("g", { class: "axes", "aria-hidden": "true" });
  for (const [value, text] of x.ticks) {
    const at = x.at(value);
    grid.append(
      svg("line", { x1: at, x2: at, y1: top, y2: bottom }),
      svg("text", { x: at, y: bottom + 17, "text-anchor": "middle" }, text),
    );
  }
  for (const [value, text] of y.ticks) {
    const at = y.at(value);
    grid.append(
      svg("line", { x1: left, x2: right, y1: at, y2: at }),
      svg("text", { x: left - 7, y: at + 4, "text-anchor": "end" }, text),
    );
  }
  const middle = (top + bottom) / 2;
  grid.append(
    svg("text", { class: "name", x: (left + right) / 2, y: bottom + 37, "text-anchor": "middle" }, xName),
    svg("text", {
      class: "name", x: 0, y: 0, "text-anchor": "middle", transform: `translate(13 ${middle}) rotate(-90)`,
    }, yName),
  );
  return grid;
}

function path(points) {
  return points.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

// Points of a line that keeps a value until the next.
function steps(points) {
  const found = [];
  points.forEach(([x, y], at) => {
    if (at) found.push([x, points[at - 1][1]]);
    found.push([x, y]);
  });
  return found;
}
