// What a person writes into a column's filter: ">= 80", "1..4", "64", "birds".

const COMPARED = /^(>=|<=|>|<|=)\s*(-?[\d.]+(?:e-?\d+)?)$/i;
const RANGE = /^(-?[\d.]+(?:e-?\d+)?)\s*\.\.\s*(-?[\d.]+(?:e-?\d+)?)$/i;
const NEAR = 1e-9;

const COMPARISONS = {
  ">=": (value, bound) => value >= bound - NEAR,
  "<=": (value, bound) => value <= bound + NEAR,
  ">": (value, bound) => value > bound,
  "<": (value, bound) => value < bound,
  "=": (value, bound) => Math.abs(value - bound) < NEAR,
};

// Returns whether a configuration passes, given its number (as shown) and its text;
// null for what cannot be understood.
function parseFilter(text) {
  const asked = text.trim();
  if (!asked) return () => true;
  const compared = asked.match(COMPARED);
  if (compared) {
    const bound = Number(compared[2]);
    if (Number.isNaN(bound)) return null;
    return (number) => typeof number === "number" && COMPARISONS[compared[1]](number, bound);
  }
  const range = asked.match(RANGE);
  if (range) {
    const [low, high] = [Number(range[1]), Number(range[2])];
    if (Number.isNaN(low) || Number.isNaN(high) || low > high) return null;
    return (number) => typeof number === "number" && number >= low - NEAR && number <= high + NEAR;
  }
  if (/^[<>=]/.test(asked) || asked.includes("..")) return null;
  const same = Number(asked);
  return (number, shown, exact) =>
    exact && typeof number === "number" && !Number.isNaN(same)
      ? Math.abs(number - same) < NEAR
      : shown.toLowerCase().includes(asked.toLowerCase());
}
