// Numbers as people read them.

const ABSENT = "–";

function plain(value) {
  if (value === null || value === undefined) return ABSENT;
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  return String(Number(value.toPrecision(4)));
}

// A metric's value: fractions in percent with one digit.
function figure(metric, value) {
  if (value === null || value === undefined) return ABSENT;
  return metric.percent ? (100 * value).toFixed(1) : plain(value);
}

function spread(metric, index) {
  const error = metric.error[index];
  const mean = figure(metric, metric.mean[index]);
  return error === null ? mean : `${mean} ±${figure(metric, error)}`;
}

function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 1) return "<1 %";
  if (value > 99 && value < 100) return ">99 %";
  return `${Math.round(value)} %`;
}

function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const words = (name) => name.replaceAll("_", " ");

const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

const unit = (metric) => (metric.percent ? `${metric.label} (%)` : metric.label);
