/** Shortening a running VM's disk chain: QEMU's `block-stream` job, and its end whenever somebody wants it. */
import { WrennError } from "@wrenn/errors";
import { DISK_ID, OVERLAY_NODE_PREFIX } from "./arguments.ts";
import type { QmpClient, QmpEvent } from "./qmp.ts";

const JOB_ID = "shorten";
/** The guest, and whoever pauses it, should notice little of it. */
const BYTES_PER_SECOND = 128 * 1024 * 1024;
const CANCEL_DEADLINE_MS = 10_000;

/**
 * Brings into the disk itself what lies between it and `base`; the file then says `base` too. At every moment
 * the disk reads the same, and so it does if QEMU dies.
 * @returns false when it was canceled before it was done; some of it may be in the disk then
 * @throws also when QEMU does not end it in time once it is canceled
 */
export async function shortenDisk(qmp: QmpClient, base: string, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const done = new AbortController();
  const ending = qmp.waitFor(isEnd, done.signal); // the end of QEMU ends it as well
  ending.catch(() => undefined);
  const { promise: notCanceled, reject: onNotCanceled } = Promise.withResolvers<never>();
  notCanceled.catch(() => undefined);
  const onAbort = (): void => void cancelShortening(qmp).catch(onNotCanceled); // else told by the event
  try {
    await start(qmp, base);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    const { event, data } = await Promise.race([ending, notCanceled]);
    if (data["error"] !== undefined)
      throw new WrennError("internal", `Cannot shorten the disk: QEMU says ${JSON.stringify(data["error"])}`);
    if (event === "BLOCK_JOB_CANCELLED") return false;
  } finally {
    signal.removeEventListener("abort", onAbort);
    done.abort();
  }
  // The disk is short whether or not they can be closed now: the next time tries again.
  await dropOldNodes(qmp).catch(() => undefined);
  return true;
}

/** An answer that comes too late may be that it has begun: nobody would know of it, and pause the VM under it. */
async function start(qmp: QmpClient, base: string): Promise<void> {
  const parameters = { "job-id": JOB_ID, device: DISK_ID, base, speed: BYTES_PER_SECOND };
  try {
    await qmp.execute("block-stream", parameters, AbortSignal.timeout(CANCEL_DEADLINE_MS));
  } catch (error) {
    await cancelShortening(qmp);
    throw error;
  }
}

/** Ends what is under way, if anything is; settles when QEMU lets the disk alone. */
export async function cancelShortening(qmp: QmpClient): Promise<void> {
  const done = new AbortController();
  const signal = AbortSignal.any([done.signal, AbortSignal.timeout(CANCEL_DEADLINE_MS)]);
  const ending = qmp.waitFor(isEnd, signal);
  ending.catch(() => undefined);
  try {
    const jobs = (await qmp.execute("query-block-jobs", {}, signal)) as { device: string }[];
    if (!jobs.some(({ device }) => device === JOB_ID)) return;
    await qmp.execute("block-job-cancel", { device: JOB_ID, force: true }, signal);
    await ending;
  } finally {
    done.abort();
  }
}

const isEnd = ({ event, data }: QmpEvent): boolean =>
  /^BLOCK_JOB_(COMPLETED|CANCELLED)$/.test(event) && data["device"] === JOB_ID;

/** Overlays that were added by name stay open, with nothing on them, until they are removed by name. */
async function dropOldNodes(qmp: QmpClient): Promise<void> {
  const signal = AbortSignal.timeout(CANCEL_DEADLINE_MS);
  const devices = (await qmp.execute("query-block", {}, signal)) as {
    device: string;
    inserted?: { "node-name": string };
  }[];
  const active = devices.find(({ device }) => device === DISK_ID)?.inserted?.["node-name"];
  const nodes = (await qmp.execute("query-named-block-nodes", { flat: true }, signal)) as { "node-name": string }[];
  for (const { "node-name": name } of nodes)
    if (name.startsWith(OVERLAY_NODE_PREFIX) && name !== active)
      await qmp.execute("blockdev-del", { "node-name": name }, signal);
}
