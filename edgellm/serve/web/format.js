// Numbers as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const two = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

/** 12,345; 12.3; 0.45 */
export function count(value) {
  if (Math.abs(value) < 10) return two.format(value);
  return (Math.abs(value) < 100 ? one : whole).format(value);
}

/** Seconds: 85 µs, 2.3 ms, 140 ms, 1.5 s, 2 min; a dash for null. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1e-3) return `${whole.format(seconds * 1e6)} µs`;
  if (seconds < 1) return `${count(seconds * 1e3)} ms`;
  if (seconds < 120) return `${one.format(seconds)} s`;
  if (seconds < 7200) return `${whole.format(seconds / 60)} min`;
  return `${whole.format(seconds / 3600)} h`;
}

/** 3 tokens, 1 token */
export function several(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** A share of a whole as percent; a dash without a whole. */
export function percent(part, of) {
  return of ? `${whole.format((100 * part) / of)} %` : "–";
}
