import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { SandboxMetrics } from "@wrenn/sdk";

const HEIGHT_PX = 160;
/** Of the longest time of day, which stands across its place on the axis. */
const TIME_WIDTH_PX = 80;
/** The time that is shown at least, from the first sample on. */
const LEAST_SEC = 60;

/** A share of 100 % over time, and its latest value in words. */
export function Chart({
  title,
  now,
  samples,
  percentOf,
}: {
  title: string;
  /** What the latest value is of. */
  now: string;
  samples: readonly SandboxMetrics[];
  percentOf: (sample: SandboxMetrics) => number;
}) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(undefined);
  const latest = samples.at(-1);
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const made = draw(element);
    chart.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT_PX }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
    };
  }, []);
  useEffect(() => {
    chart.current?.setData([samples.map(({ time }) => Date.parse(time) / 1_000), samples.map(percentOf)]);
  }, [samples, percentOf]);
  return (
    <figure className="card chart">
      <figcaption>
        <span>{title}</span>
        <strong>{latest === undefined ? "" : `${percentOf(latest).toFixed(1)} %`}</strong>
        <small>{now}</small>
      </figcaption>
      <div ref={place} aria-hidden />
    </figure>
  );
}

function draw(element: HTMLElement): uPlot {
  // asked for at each drawing: light and dark may change in between
  const stroke = () => getComputedStyle(element).color;
  const axis = { stroke, grid: { stroke: "#8883" }, ticks: { show: false }, font: "12px system-ui" };
  return new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT_PX,
      legend: { show: false },
      cursor: { show: false },
      padding: [null, TIME_WIDTH_PX / 2, null, null],
      scales: { x: { range: spanOf }, y: { range: [0, 100] } },
      axes: [
        { ...axis, size: 30, space: TIME_WIDTH_PX + 10, values: (_, times) => times.map(timeOfDay) },
        { ...axis, size: 50, values: (_, values) => values.map((value) => `${value} %`) },
      ],
      series: [
        {},
        { stroke: "#3b82f6", fill: "#3b82f633", width: 2, points: { show: ({ data }) => data[0].length === 1 } },
      ],
    },
    [[], []],
    element,
  );
}

/** As the browser's user writes it; a chart of minutes needs no date. */
function timeOfDay(seconds: number): string {
  return new Date(seconds * 1_000).toLocaleTimeString();
}

/** Without samples both are null. */
function spanOf(_: uPlot, from: number, to: number): [number, number] {
  return Number.isFinite(to) ? [Math.min(from, to - LEAST_SEC), to] : [from, to];
}
