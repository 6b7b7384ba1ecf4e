import fc from "fast-check";
import { expect, it } from "vitest";
import { serverEvents, type ServerEvent } from "./server-events.ts";

async function read(chunks: Uint8Array[]): Promise<ServerEvent[]> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  return await Array.fromAsync(serverEvents(body));
}

const bytes = (text: string) => new TextEncoder().encode(text);

it("reads fields, comments and every kind of line end", async () => {
  expect(
    await read([
      bytes("\uFEFF: hello\nid: 7\nevent: note\ndata: a\ndata:b\n\ndata\r\n\r\ndata:  c\r\rdata: cut off\n"),
    ]),
  ).toEqual([
    { type: "note", data: "a\nb", id: "7" },
    { type: "message", data: "", id: "7" },
    { type: "message", data: " c", id: "7" },
  ]);
});

it("gives up what is silent, and only that", async () => {
  const silenceMs = 100;
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      for (let n = 0; n < 4; n++) {
        controller.enqueue(bytes(n === 2 ? "data: x\n\n" : ": alive\n\n"));
        await new Promise((resolve) => setTimeout(resolve, silenceMs / 2));
      }
    },
    cancel: () => void (cancelled = true),
  });
  const events = serverEvents(body, { silenceMs });
  expect((await events.next()).value).toMatchObject({ data: "x" });
  await expect(events.next()).rejects.toMatchObject({ name: "WrennError", code: "unavailable" });
  expect(cancelled).toBe(true);
});

it("reads the same however the bytes are cut", { timeout: 30_000 }, async () => {
  const line = fc.string({ unit: "binary" }).map((text) => text.replaceAll(/[\r\n\0]/g, ""));
  const event = fc.record({
    id: line,
    type: line.filter((text) => text !== ""),
    data: fc.array(line, { minLength: 1, maxLength: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { maxLength: 5 }),
      fc.constantFrom("\n", "\r\n", "\r"),
      fc.array(fc.nat(500)),
      async (events, end, cuts) => {
        const lines = events.flatMap(({ id, type, data }) => [
          `id: ${id}`,
          `event: ${type}`,
          ...data.map((one) => `data: ${one}`),
          "",
        ]);
        const all = bytes(lines.map((one) => one + end).join(""));
        const places = [...new Set([0, ...cuts.filter((cut) => cut < all.length), all.length])].toSorted(
          (a, b) => a - b,
        );
        const chunks = places.slice(1).map((place, index) => all.subarray(places[index], place));
        expect(await read(chunks)).toEqual(events.map(({ id, type, data }) => ({ id, type, data: data.join("\n") })));
      },
    ),
  );
});
