import { useEffect, useState } from "react";
import type { SandboxMetrics, Wrenn } from "@wrenn/sdk";
import { Loading } from "../empty.tsx";
import { Problem } from "../problem.tsx";
import { useKept } from "../use-kept.ts";
import { Chart } from "./chart.tsx";
import "./metrics.css";

const INTERVAL_MS = 2_000;
const KEPT = 300;
const MIB = 1_048_576;

/** CPU, memory and disk while the page is open: the guest measures when it is asked. */
export default function Metrics({ client, id }: { client: Wrenn; id: string }) {
  const [samples, setSamples] = useKept<SandboxMetrics[]>(`metrics.${id}`, []);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const measure = async () => {
      try {
        const sample = await client.call("getSandboxMetrics", { path: { id }, signal: stop.signal });
        setSamples((before) => [...before, sample].slice(-KEPT));
        setError(undefined);
      } catch (thrown) {
        if (!stop.signal.aborted) setError(thrown);
      }
      // one after the other: a platform that stands still is not asked again and again
      if (!stop.signal.aborted) timer = setTimeout(() => void measure(), INTERVAL_MS);
    };
    void measure();
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [client, id]);
  const latest = samples.at(-1);
  return (
    <>
      <Problem error={error} />
      {latest === undefined ? (
        error === undefined && <Loading />
      ) : (
        <div className="charts">
          <Chart
            title="CPU"
            now={`of ${latest.cpu_count} CPU`}
            samples={samples}
            percentOf={({ cpu_used_pct }) => cpu_used_pct}
          />
          <Chart
            title="Memory"
            now={amount(latest.memory_used_bytes, latest.memory_total_bytes)}
            samples={samples}
            percentOf={(one) => percent(one.memory_used_bytes, one.memory_total_bytes)}
          />
          <Chart
            title="Disk"
            now={amount(latest.disk_used_bytes, latest.disk_total_bytes)}
            samples={samples}
            percentOf={(one) => percent(one.disk_used_bytes, one.disk_total_bytes)}
          />
        </div>
      )}
    </>
  );
}

function percent(used: number, total: number): number {
  return total === 0 ? 0 : (100 * used) / total;
}

function amount(used: number, total: number): string {
  return `${Math.round(used / MIB)} of ${Math.round(total / MIB)} MiB`;
}
