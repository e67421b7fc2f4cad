// Curves of metrics: `<figure data-series='[{"label": ..., "url": ...}]'>`; with `data-live` they go on.

const LIVE_MS = 3000;
const charts = new Map();


// `light-dark()` is known to style alone: a canvas is told what it comes to.
function resolved(name) {
  const probe = document.createElement("i");
  probe.className = `ink-${name}`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

async function points(each) {
  const answer = await fetch(each.url, { headers: { accept: "application/json" } });
  return answer.ok ? answer.json() : [];
}

function together(series) {
  const steps = [...new Set(series.flatMap((each) => each.map((point) => point.step)))].sort((a, b) => a - b);
  const rows = series.map((each) => {
    const known = new Map(each.map((point) => [point.step, typeof point.value === "number" ? point.value : null]));
    return steps.map((step) => (known.has(step) ? known.get(step) : undefined));
  });
  return [steps, ...rows];
}

function show(value) {
  return value == null ? "–" : Number(value).toLocaleString(document.documentElement.lang, { maximumSignificantDigits: 5 });
}

function made(figure, wanted, data) {
  const axis = { stroke: resolved("soft"), grid: { stroke: resolved("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  const options = {
    width: figure.clientWidth,
    height: Number(figure.dataset.height || 180),
    padding: [8, 8, 0, 0],
    scales: { x: { time: false } },
    axes: [{ ...axis, size: 26 }, { ...axis, size: 54, values: (_, splits) => splits.map(show) }],
    legend: { live: true },
    cursor: { y: false, points: { size: 6 } },
    series: [
      { label: figure.dataset.step, value: (_, value) => show(value) },
      ...wanted.map((each, place) => ({
        label: each.label,
        stroke: resolved(`series-${place % 4}`),
        width: 1.75,
        spanGaps: true,
        points: { show: data[0].length < 40, size: 4 },
        value: (_, value) => show(value),
      })),
    ],
  };
  figure.querySelector(".uplot")?.remove();
  return new uPlot(options, data, figure);
}

async function draw(figure) {
  const wanted = JSON.parse(figure.dataset.series);
  const data = together(await Promise.all(wanted.map(points)));
  if (!figure.isConnected) return;
  const known = charts.get(figure);
  if (known) known.setData(data);
  else charts.set(figure, made(figure, wanted, data));
  figure.dataset.drawn = data[0].length;
  if (figure.dataset.live !== undefined) setTimeout(() => draw(figure), LIVE_MS);
}

function again() {
  for (const [figure, chart] of charts) {
    if (!figure.isConnected) charts.delete(figure);
    else charts.set(figure, made(figure, JSON.parse(figure.dataset.series), chart.data));
  }
}

function begin() {
  for (const figure of document.querySelectorAll("figure[data-series]")) if (!charts.has(figure)) draw(figure);
}

let waiting;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    for (const [figure, chart] of charts) chart.setSize({ width: figure.clientWidth, height: chart.height });
  }, 100);
});
document.addEventListener("theme", again);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
document.addEventListener("htmx:after:swap", begin);
begin();
