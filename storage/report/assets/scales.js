// From values to pixels. A scale has at(value), back(pixel) and ticks: [value, text].

const ROOM = { across: 70, up: 45 }; // pixels between ticks

function linear([low, high, most = Infinity], [from, to], room = ROOM.across, whole = false) {
  const span = high - low || 1;
  return {
    at: (value) => from + ((value - low) / span) * (to - from),
    back: (pixel) => low + ((pixel - from) / (to - from)) * span,
    ticks: linearTicks(low, Math.min(high, most), Math.abs(to - from) / room, whole ? 1 : 0),
  };
}

function logarithmic([low, high], [from, to]) {
  const inner = linear([Math.log(low), Math.log(high)], [from, to]);
  const most = Math.max(2, Math.floor(Math.abs(to - from) / 55));
  return {
    at: (value) => inner.at(Math.log(Math.max(value, low))),
    back: (pixel) => Math.exp(inner.back(pixel)),
    ticks: logTicks(low, high, most),
  };
}

// Values that stand apart, evenly; also for words.
function ordinal(levels, [from, to]) {
  const step = levels.length > 1 ? (to - from) / (levels.length - 1) : 0;
  const start = levels.length > 1 ? from : (from + to) / 2;
  return {
    at: (value) => start + step * levels.indexOf(value),
    back: (pixel) => levels[Math.round((pixel - start) / (step || 1))],
    ticks: levels.map((level) => [level, plain(level)]),
  };
}

function linearTicks(low, high, count, least = 0) {
  const rough = (high - low || 1) / Math.max(2, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const near = power * [1, 2, 5, 10][[1.5, 3.5, 7.5, Infinity].findIndex((bound) => rough / power < bound)];
  const step = Math.max(near, least);
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) {
    const value = at * step;
    ticks.push([value, plain(Number(value.toPrecision(10)))]);
  }
  return ticks;
}

function logTicks(low, high, most) {
  const all = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const factor of [1, 2, 5]) {
      const value = Number((factor * 10 ** power).toPrecision(1));
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) all.push(value);
    }
  }
  const tens = all.filter((value) => String(value).replace(/[0.]/g, "")[0] === "1");
  const kept = all.length <= most || tens.length < 2 ? all : tens;
  const every = Math.ceil(kept.length / most);
  return kept.filter((_, at) => at % every === 0).map((value) => [value, plain(value)]);
}

// The most that values in percent can be; what is above it already has no such end.
function ceiling(percent, values) {
  return percent && values.every((value) => value === null || value <= 100 + 1e-6) ? 100 : Infinity;
}

// Lowest and highest of values, with some room around, but little beyond the most there can be,
// and that, which has the last tick.
function extent(values, room = 0, most = Infinity) {
  const known = values.filter((value) => typeof value === "number");
  if (!known.length) return [0, 1];
  const low = known.reduce((a, b) => Math.min(a, b));
  const high = known.reduce((a, b) => Math.max(a, b));
  const span = high - low || Math.abs(high) * 0.1 || 1;
  const [from, to] = low === high ? [low - span, high + span] : [low - room * span, high + room * span];
  return [from, Math.min(to, most + room * (to - from)), most];
}
