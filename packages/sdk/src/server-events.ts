/** `text/event-stream` (WHATWG HTML, 9.2), read with fetch, so that a key can be sent and other runtimes work. */
import { chunksOf } from "./bytes.ts";

export interface ServerEvent {
  /** `message` unless the server says otherwise. */
  type: string;
  data: string;
  /** The id of the last event that had one. */
  id: string;
}

/**
 * Wrenn's streams say something every 10 seconds: after this time without a word the connection is dead, which nobody
 * else would notice.
 */
const SILENCE_MS = 35_000;

/**
 * The events of one answer, to its end.
 * @throws WrennError `unavailable` when nothing comes for `silenceMs`
 */
export async function* serverEvents(
  body: ReadableStream<Uint8Array>,
  { silenceMs = SILENCE_MS }: { silenceMs?: number } = {},
): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder();
  let text = "";
  let event = { type: "message", data: [] as string[] };
  let id = "";
  let afterReturn = false; // a line feed that comes next belongs to the carriage return before
  for await (const chunk of chunksOf(body, silenceMs)) {
    text += decoder.decode(chunk, { stream: true });
    if (text === "") continue;
    if (afterReturn && text.startsWith("\n")) text = text.slice(1);
    afterReturn = text.endsWith("\r");
    const lines = text.split(/\r\n|\n|\r/);
    text = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (event.data.length > 0) yield { type: event.type, data: event.data.join("\n"), id };
        event = { type: "message", data: [] };
        continue;
      }
      const [, name = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      if (name === "data") event.data.push(value);
      else if (name === "event") event.type = value;
      else if (name === "id") id = value;
    }
  }
}
