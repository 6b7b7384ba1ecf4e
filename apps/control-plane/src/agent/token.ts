/**
 * The secret that the host agent asks for. Read when it is first needed, because the agent may be
 * started after the control plane, and again after it was refused.
 */
import { readFile } from "node:fs/promises";
import { WrennError } from "@wrenn/errors";

export class AgentToken {
  readonly #file: string;
  #token: string | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  /** @throws WrennError `agent_unavailable` when there is no token yet. */
  async read(): Promise<string> {
    try {
      this.#token ??= (await readFile(this.#file, "utf8")).trim();
      return this.#token;
    } catch (cause) {
      throw new WrennError("agent_unavailable", `Cannot reach the host agent: its token ${this.#file} cannot be read`, {
        cause,
        hint: "Start the platform with ./wrenn up, which makes it",
      });
    }
  }

  /** Forgets the token, so that the next call reads the file again. */
  forget(): void {
    this.#token = undefined;
  }
}
