/** Sizes and times as people write and read them. */
import { WrennError } from "@wrenn/errors";

const MIB_PER_UNIT: Record<string, number> = { "": 1, m: 1, mb: 1, mib: 1, g: 1024, gb: 1024, gib: 1024 };
const SECONDS_PER_UNIT: Record<string, number> = { "": 1, s: 1, m: 60, h: 3_600, d: 86_400 };

/** `512`, `512M` or `2G` as MiB. */
export function parseMebibytes(text: string): number {
  const [, number = "", unit = ""] = /^(\d+(?:\.\d+)?) *([a-z]*)$/i.exec(text.trim()) ?? [];
  const factor = MIB_PER_UNIT[unit.toLowerCase()];
  const value = Number(number) * (factor ?? Number.NaN);
  if (number === "" || !Number.isInteger(value)) throw invalid(text, "a size", "512M or 2G; a bare number counts MiB");
  return value;
}

/** `90`, `90s`, `5m`, `2h` or `1d` as seconds. */
export function parseSeconds(text: string): number {
  const [, number = "", unit = ""] = /^(\d+(?:\.\d+)?) *([smhd]?)$/i.exec(text.trim()) ?? [];
  const value = Number(number) * (SECONDS_PER_UNIT[unit.toLowerCase()] ?? Number.NaN);
  if (number === "" || !Number.isInteger(value))
    throw invalid(text, "a time", "90, 5m or 2h; a bare number counts seconds");
  return value;
}

/** A whole number. */
export function parseInteger(text: string): number {
  if (!/^\d+$/.test(text)) throw invalid(text, "a whole number", "2");
  return Number(text);
}

function invalid(text: string, what: string, example: string): WrennError {
  return new WrennError("invalid_request", `Cannot read ${JSON.stringify(text)} as ${what}`, {
    hint: `Write ${example}`,
  });
}

/** Bytes with a binary unit and at most one decimal: `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Milliseconds in the two largest units: `850 ms`, `12 s`, `3 m 20 s`, `2 d 4 h`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  const seconds = Math.floor(milliseconds / 1_000);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  return parts
    .slice(first, first + 2)
    .filter(([value], index) => index === 0 || value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(" ");
}
