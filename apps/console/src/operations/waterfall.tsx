import type { CSSProperties } from "react";
import type { Operation } from "@wrenn/sdk";
import "./waterfall.css";

const MIB = 1_048_576;

/** One operation: its stages below each other, each from where it began to where it ended. */
export function Waterfall({ of: operation }: { of: Operation }) {
  const { operation: name, started_at, duration_ms, stages, error } = operation;
  const ends = stages.map((stage) => stage.start_ms + stage.duration_ms);
  const whole = Math.max(duration_ms, ...ends, 1);
  return (
    <section className="card waterfall" aria-label={`${name} at ${started_at}`}>
      <h2>
        {name} <small>{milliseconds(duration_ms)}</small>
        <small>
          <time dateTime={started_at}>{new Date(started_at).toLocaleString()}</time>
        </small>
      </h2>
      {error !== undefined && (
        <p className="failed">
          {error.message} <small>{error.code}</small>
        </p>
      )}
      <ol hidden={stages.length === 0}>
        {stages.map((stage, index) => (
          <li key={index}>
            <span className="name">{stage.name}</span>
            <span
              className="lane"
              aria-hidden
              style={
                {
                  "--from": `${(100 * stage.start_ms) / whole}%`,
                  "--length": `${(100 * stage.duration_ms) / whole}%`,
                } as CSSProperties
              }
            />
            <span className="took">
              {milliseconds(stage.duration_ms)}
              {stage.bytes > 0 && `, ${(stage.bytes / MIB).toFixed(1)} MiB`}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function milliseconds(value: number): string {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value).toLocaleString()} ms`;
}
