/**
 * When working sets are recorded, and whom they are given to. A sandbox's is stored with each layer of it, and goes
 * with the layer into forks, rewritten layers and templates. A template's lies beside its memory, told by the first few
 * sandboxes of it that were served by the pager, and is for those that have none of their own yet. Nothing here
 * fails: a guest without a working set waits for its pages one by one.
 */
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Logger } from "pino";
import { writeFileAtomic } from "@wrenn/effects";
import type { Layer } from "../snapshot/layer.ts";
import { imageDirectoryOf, shareWorkingSet, workingSetIn, workingSetPathOf } from "../snapshot/working-set.ts";
import type { VirtualMachine } from "../vmm/vmm.ts";
import type { SandboxRecord } from "./record.ts";

const SAVE_DEADLINE_MS = 5_000;
/** Sandboxes of a template that are listened to, for as long as this agent runs: more of them say the same. */
const TELLERS = 4;

export class WorkingSets {
  readonly #log: Logger;
  /** How many have told of each template, by the directory of its memory. */
  readonly #told = new Map<string, number>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /**
   * Stores what the guest asked for since it was resumed.
   * @param parent what it was resumed from, or its last layer since
   * @param directory of the layer that is being written
   */
  async save(vm: VirtualMachine, record: SandboxRecord, parent: Layer, directory: string): Promise<void> {
    await this.#attempt(record.id, async () => {
      const isPaged = await vm.saveWorkingSet(workingSetPathOf(directory), AbortSignal.timeout(SAVE_DEADLINE_MS));
      const own = await workingSetIn(parent.directory);
      if (isPaged && own === undefined) await this.#tellTemplate(record, parent, directory);
      // It mapped all of its memory this time: what is known of it stays.
      if (!isPaged && isSibling(parent.directory, directory)) await shareWorkingSet(parent.directory, directory);
    });
  }

  /** Gives a layer that holds what another one does its working set, unless it is found beside its image anyway. */
  async share(from: Layer, to: Layer): Promise<void> {
    if (imageDirectoryOf(to) === from.directory) return;
    await this.#attempt(to.meta.buildId, () => shareWorkingSet(from.directory, to.directory));
  }

  async #tellTemplate(record: SandboxRecord, { meta }: Layer, directory: string): Promise<void> {
    const { image, builds } = meta.memory ?? {};
    // Not of a sandbox whose memory was flattened or booted anew.
    if (image === undefined || builds?.[record.goldenKey ?? record.templateBuildId] !== image) return;
    const template = dirname(image);
    const told = this.#told.get(template) ?? 0;
    if (told >= TELLERS) return;
    this.#told.set(template, told + 1);
    const set = await readFile(workingSetPathOf(directory));
    // A power cut may cut it short, which its checksum tells.
    await writeFileAtomic(workingSetPathOf(template), set, { mode: 0o444, name: "working-set", durable: false });
  }

  async #attempt(id: string, work: () => Promise<void>): Promise<void> {
    await work().catch((error: unknown) => this.#log.warn({ operation: "working-set", id, err: error }));
  }
}

const isSibling = (a: string, b: string): boolean => dirname(a) === dirname(b);
