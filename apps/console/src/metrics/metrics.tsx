import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { SandboxMetrics, Wrenn } from "@wrenn/sdk";
import { Problem } from "../problem.tsx";

const INTERVAL_MS = 2_000;
const KEPT = 300;

/** CPU, memory and disk since the page was opened: the guest measures when it is asked. */
export default function Metrics({ client, id }: { client: Wrenn; id: string }) {
  const [samples, setSamples] = useState<SandboxMetrics[]>([]);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    const stop = new AbortController();
    const measure = async () => {
      try {
        const sample = await client.call("getSandboxMetrics", { path: { id }, signal: stop.signal });
        setSamples((before) => [...before, sample].slice(-KEPT));
        setError(undefined);
      } catch (thrown) {
        if (!stop.signal.aborted) setError(thrown);
      }
    };
    void measure();
    const timer = setInterval(() => void measure(), INTERVAL_MS);
    return () => {
      clearInterval(timer);
      stop.abort();
    };
  }, [client, id]);
  const share = (used: number, total: number) => (total === 0 ? 0 : (100 * used) / total);
  return (
    <div className="charts">
      <Problem error={error} />
      <Chart title="CPU" samples={samples} of={(one) => one.cpu_used_pct} />
      <Chart title="Memory" samples={samples} of={(one) => share(one.memory_used_bytes, one.memory_total_bytes)} />
      <Chart title="Disk" samples={samples} of={(one) => share(one.disk_used_bytes, one.disk_total_bytes)} />
    </div>
  );
}

function Chart(props: { title: string; samples: SandboxMetrics[]; of: (sample: SandboxMetrics) => number }) {
  const { title, samples, of } = props;
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(undefined);
  const latest = samples.at(-1);
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const color = getComputedStyle(element).color;
    const axis = { stroke: color, grid: { stroke: "#8884" } };
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: 160,
        legend: { show: false },
        scales: { y: { range: [0, 100] } },
        axes: [axis, { ...axis, values: (_, values) => values.map((value) => `${value} %`) }],
        series: [{}, { stroke: "#3b82f6", fill: "#3b82f633", width: 2 }],
      },
      [[], []],
      element,
    );
    chart.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: 160 }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
    };
  }, []);
  useEffect(() => {
    chart.current?.setData([samples.map(({ time }) => Date.parse(time) / 1_000), samples.map(of)]);
  }, [samples]);
  return (
    <figure className="card">
      <figcaption>
        {title}
        {latest !== undefined && `: ${of(latest).toFixed(1)} %`}
      </figcaption>
      <div ref={place} aria-hidden />
    </figure>
  );
}
