/**
 * What the CLI prints. Results go to standard output, everything about them (progress, notes, errors) to
 * standard error. With `--json` the result is one JSON value, and an error one JSON object.
 */
import { styleText } from "node:util";
import type { WrennError } from "@wrenn/errors";

type Style = Parameters<typeof styleText>[0];

export class Output {
  readonly json: boolean;

  constructor(options: { json: boolean }) {
    this.json = options.json;
  }

  /** True when standard error is a terminal that can be redrawn. */
  get interactive(): boolean {
    return process.stderr.isTTY && !this.json;
  }

  /** A line of the result. */
  line(text = ""): void {
    process.stdout.write(`${text}\n`);
  }

  /** The result: `value` for machines, `text` for people. */
  result(value: unknown, text: () => string): void {
    this.line(this.json ? JSON.stringify(value) : text());
  }

  /** A note for people: left out with `--json`. */
  note(text: string): void {
    if (!this.json) process.stderr.write(`${text}\n`);
  }

  error(error: WrennError): void {
    if (this.json) {
      process.stderr.write(`${JSON.stringify(error.toBody())}\n`);
      return;
    }
    process.stderr.write(`${this.#mark("red", "error:")} ${error.message}\n`);
    if (error.hint !== undefined) process.stderr.write(`${this.#mark("cyan", "hint:")} ${error.hint}\n`);
    if (error.fault === "platform" && error.requestId !== undefined) {
      process.stderr.write(`${this.#mark("dim", `(${error.code}, request ${error.requestId}: see wrenn logs)`)}\n`);
    }
  }

  /** Colours for standard output, when it shows them. */
  style(style: Style, text: string): string {
    return styleText(style, text, { stream: process.stdout });
  }

  #mark(style: Style, text: string): string {
    return styleText(style, text, { stream: process.stderr });
  }
}
