// Bars in the cells of a table, whose numbers stand beside them.

const BAR = { width: 100, height: 8 };

// Parts: [share of the whole width, class], one after the other.
function bar(parts) {
  let from = 0;
  const rects = parts.map(([share, kind]) => {
    const width = Math.max(0, share) * BAR.width;
    const rect = svg("rect", { class: kind, x: from, y: 0, width, height: BAR.height });
    from += width;
    return rect;
  });
  return svg("svg", {
    class: "cell-bar", viewBox: `0 0 ${BAR.width} ${BAR.height}`, preserveAspectRatio: "none",
    "aria-hidden": "true",
  }, svg("rect", { class: "empty", x: 0, y: 0, ...BAR }), rects);
}
