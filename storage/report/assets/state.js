// What the page shows, which configuration is chosen, and which are left by the filters.

const data = JSON.parse(byId("data").textContent);
const { configurations: known, parameters, metrics } = data;
const indices = known.trial.map((_, index) => index);
const objectives = metrics.filter((metric) => metric.objective);
const metricNamed = Object.fromEntries(metrics.map((metric) => [metric.name, metric]));

// Columns of the table, of the filters, and of the axes of the parallel plot.
const columns = [
  { key: "trial", label: "trial", exact: true, number: (i) => known.trial[i], text: (i) => plain(known.trial[i]) },
  ...parameters.map((parameter) => ({
    key: parameter.name,
    label: parameter.label,
    exact: true,
    parameter,
    number: (i) => parameter.values[i],
    text: (i) => plain(parameter.values[i]),
  })),
  ...metrics.map((metric) => ({
    key: metric.name,
    label: metric.label,
    metric,
    number: (i) => (metric.mean[i] === null ? null : metric.mean[i] * (metric.percent ? 100 : 1)),
    text: (i) => spread(metric, i),
  })),
  {
    key: "probability",
    label: "on the front",
    number: (i) => 100 * known.probability[i],
    text: (i) => percent(known.probability[i]),
  },
];
const columnOf = Object.fromEntries(columns.map((column) => [column.key, column]));

const MOST_DRAWN = 800; // configurations in a plot
const LIKELY = 0.05; // probability of being on the front from which on one is near it

const state = { selected: null, onlyFront: false, filters: {}, shown: indices.map(() => true) };
const listeners = { select: [], filter: [] };

const on = (what, listener) => listeners[what].push(listener);

function select(index) {
  state.selected = index;
  history.replaceState(null, "", `#trial-${known.trial[index]}`);
  listeners.select.forEach((listener) => listener(index));
  say(`Trial ${known.trial[index]} is shown`);
}

// Sets the filter of a column and returns whether it was understood.
function setFilter(key, text) {
  const test = parseFilter(text);
  if (test === null) return false;
  if (text.trim()) state.filters[key] = { text, test };
  else delete state.filters[key];
  filter();
  return true;
}

function filter() {
  const tests = Object.entries(state.filters).map(([key, { test }]) => [columnOf[key], test]);
  state.shown = indices.map(
    (i) =>
      (!state.onlyFront || known.front[i]) &&
      tests.every(([column, test]) => test(column.number(i), column.text(i), column.exact)),
  );
  listeners.filter.forEach((listener) => listener());
}

// Which configurations the plots draw: all; or of thousands, which would make each click a wait, the
// front, what is likeliest to be on it, and evenly some of the others that the filters leave.
function drawnOnes() {
  if (indices.length <= MOST_DRAWN) return indices;
  const open = indices.filter((i) => state.shown[i]);
  if (open.length <= MOST_DRAWN) return open;
  const close = (i) => known.front[i] || i === state.selected || known.probability[i] >= LIKELY;
  const first = open.filter(close).sort((a, b) => known.probability[b] - known.probability[a]);
  const others = open.filter((i) => !close(i));
  const every = Math.ceil(others.length / Math.max(1, MOST_DRAWN - first.length));
  return [...first.slice(0, MOST_DRAWN), ...others.filter((_, at) => at % every === 0)];
}

// What a plot says that has not room for all.
function leftOut() {
  const open = shownCount();
  const drawn = drawnOnes().filter((i) => state.shown[i]).length;
  return drawn === open ? "" : `Of ${counted(open, "configuration")} ${drawn} are drawn, those on the front or near it `
    + "first: filter for the others, or see the table. ";
}

const shownCount = () => state.shown.filter(Boolean).length;

// "trial 7: depth 4, l1_fm 2"
function describe(index) {
  const set = parameters.map((p) => `${p.label} ${plain(p.values[index])}`).join(", ");
  return `trial ${known.trial[index]}: ${set}`;
}

function details(index) {
  return [
    describe(index),
    ...objectives.map((metric) => `${unit(metric)}: ${spread(metric, index)}`),
    `${counted(known.complete[index], "seed")}; on the front in ${percent(known.probability[index])} of draws`,
  ];
}
