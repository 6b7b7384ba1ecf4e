/**
 * The console of a sandbox's VM as a plain HTTP stream: `GET /sandboxes/{id}/console?follow=`. What is
 * kept of it (the shim's ring of two halves), then, with `follow=true`, what is written from then on
 * until the VM ends or the client goes away. Looking is no activity.
 */
import { once } from "node:events";
import { watch } from "node:fs";
import { open, readFile, stat, type FileHandle } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import type { SandboxManager } from "../sandbox/manager.ts";
import type { SandboxView } from "../sandbox/entry.ts";
import { consolePath } from "../vmm/shim.ts";

const CHUNK_BYTES = 65_536;

export async function sendConsole(
  manager: SandboxManager,
  id: string,
  follow: boolean,
  response: ServerResponse,
): Promise<void> {
  const directory = manager.consoleDirectory(id);
  const path = consolePath(directory);
  const ended = new AbortController();
  const onChange = (sandbox: SandboxView, gone: boolean): void => {
    if (sandbox.id === id && (gone || sandbox.state === "paused" || sandbox.state === "failed")) ended.abort();
  };
  response.on("close", () => ended.abort());
  manager.events.on("changed", onChange);
  try {
    const changes = new Changes(directory, ended.signal);
    const file = await open(path).catch(ignoreMissing);
    const older = await readFile(`${path}.1`).catch(ignoreMissing);
    response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
    response.flushHeaders();
    if (older !== undefined) response.write(older);
    const running = follow && manager.get(id).state === "running";
    await copy(path, file, running ? changes : undefined, response);
    response.end();
  } finally {
    ended.abort();
    manager.events.off("changed", onChange);
  }
}

/** Sends a file and, while there are changes, what is appended to it and to the one that takes its place. */
async function copy(
  path: string,
  first: FileHandle | undefined,
  changes: Changes | undefined,
  response: ServerResponse,
): Promise<void> {
  let file = first;
  try {
    for (;;) {
      if (file !== undefined) await sendRest(file, response);
      if (changes === undefined || changes.ended) return;
      const replacement = await replacementOf(path, file);
      if (replacement !== undefined) {
        if (file !== undefined) await sendRest(file, response); // what came between the last look and its turn
        await file?.close();
        file = replacement;
        continue;
      }
      await changes.next();
    }
  } finally {
    await file?.close();
  }
}

async function sendRest(file: FileHandle, response: ServerResponse): Promise<void> {
  for (;;) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, null);
    if (bytesRead === 0 || response.destroyed) return;
    if (!response.write(buffer.subarray(0, bytesRead)))
      await Promise.race([once(response, "drain"), once(response, "close")]);
  }
}

/** The file that is at `path` now, when it is another one than `file`. */
async function replacementOf(path: string, file: FileHandle | undefined): Promise<FileHandle | undefined> {
  const now = await stat(path).catch(ignoreMissing);
  if (now === undefined || now.ino === (await file?.stat())?.ino) return undefined;
  return await open(path).catch(ignoreMissing);
}

/** Wakes its reader whenever something in a directory changed since the last look; inotify(7). */
class Changes {
  readonly #signal: AbortSignal;
  #changed = false;
  #wake: () => void = () => undefined;

  constructor(directory: string, signal: AbortSignal) {
    this.#signal = signal;
    const onChange = (): void => {
      this.#changed = true;
      this.#wake();
    };
    watch(directory, { signal }).on("change", onChange).on("error", onChange);
    signal.addEventListener("abort", onChange);
  }

  get ended(): boolean {
    return this.#signal.aborted;
  }

  async next(): Promise<void> {
    if (!this.#changed && !this.ended) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#changed = false;
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
