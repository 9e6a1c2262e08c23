// Draws the charts of a page with uPlot, each from the JSON element that its data-chart names; follows width and theme.
// {"times": [unix s], "unit": "usd"|"count"|"ms", "stepped": bool, "stacked": bool, "series": [{"label", "values": [number|null]}]}

const PALETTE = ["#0f766e", "#b45309", "#4f6bd8", "#a2478f", "#5b7f1e", "#b03a3a", "#66707a"];
const DARK = ["#4fc3b8", "#e0a045", "#8fa5ff", "#e08ace", "#a6cc5c", "#f08d86", "#9da7af"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const plots = new Map();

const format = {
  usd: (value) => (value >= 100 ? `$${value.toFixed(0)}` : value >= 1 || value === 0 ? `$${value.toFixed(2)}` : `$${Number(value.toPrecision(2))}`),
  count: (value) => (value >= 1e6 ? `${+(value / 1e6).toFixed(1)}M` : value >= 1e3 ? `${+(value / 1e3).toFixed(1)}k` : `${+value.toFixed(1)}`),
  ms: (value) => `${(value / 1000).toFixed(2)} s`,
};

function stack(rows) {
  const sums = rows[0]?.values.map(() => 0) ?? [];
  // The last is drawn first and highest: each one covers what lies below it.
  return rows.map(({ values }) => values.map((value, at) => (sums[at] += value ?? 0)));
}

function draw(box) {
  plots.get(box)?.destroy();
  const data = JSON.parse(document.getElementById(box.dataset.chart).textContent);
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--pico-muted-color").trim();
  const line = style.getPropertyValue("--line").trim();
  const colours = dark.matches ? DARK : PALETTE;
  const show = format[data.unit] ?? format.count;
  const drawn = data.stacked ? stack(data.series) : data.series.map(({ values }) => values);
  const order = data.series.map((_, at) => at);
  if (data.stacked) order.reverse();
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
  const series = order.map((at) => ({
    label: data.series[at].label, stroke: colours[at % colours.length], width: data.stacked ? 1 : 2, points: { show: data.times.length < 3 },
    fill: data.stacked ? colours[at % colours.length] + (dark.matches ? "55" : "66") : undefined,
    paths: data.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
    value: (plot, _, __, index) => (index === null ? "–" : data.series[at].values[index] === null ? "–" : show(data.series[at].values[index])),
  }));
  const options = {
    width: box.clientWidth, height: Number(box.dataset.height ?? 220), cursor: { drag: { x: false, y: false } },
    scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
    axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map(show) }], series: [{ value: (_, time) => (time === null ? "–" : new Date(time * 1000).toLocaleString()) }, ...series],
  };
  box.replaceChildren();
  plots.set(box, new uPlot(options, [data.times, ...order.map((at) => drawn[at])], box));
}

function drawAll() {
  for (const box of plots.keys()) if (!box.isConnected) plots.delete(box);
  for (const box of document.querySelectorAll("[data-chart]")) draw(box);
}

addEventListener("resize", () => { for (const [box, plot] of plots) plot.setSize({ width: box.clientWidth, height: plot.height }); });
dark.addEventListener("change", drawAll);
document.addEventListener("htmx:afterSettle", drawAll);
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", drawAll);
else drawAll();
