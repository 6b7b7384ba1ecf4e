/**
 * The bytes of an upload as a stream of their own: when the agent answers early with an error, its HTTP
 * client destroys what it was given, and the caller could not be answered if that were the connection.
 */
import { PassThrough, type Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { WrennError } from "@wrenn/errors";

export interface UploadBody {
  body: Readable;
  /** Bytes that came. */
  size(): number;
  /** Reads what is left of the source, to nowhere. */
  release(): void;
}

/** The whole body of a request. */
export function bodyOf({ raw }: FastifyRequest): UploadBody {
  const upload = uploadFrom(raw);
  const onClose = () => {
    if (!raw.complete) upload.body.destroy(new WrennError("canceled", "Cannot write the file: the caller went away"));
  };
  raw.once("close", onClose);
  return {
    ...upload,
    release() {
      raw.off("close", onClose);
      upload.release();
    },
  };
}

export function uploadFrom(source: Readable): UploadBody {
  const body = new PassThrough();
  let size = 0;
  const onData = (chunk: Buffer) => (size += chunk.length);
  body.on("error", () => undefined); // the call to the agent fails with the same error
  source.on("data", onData);
  source.pipe(body);
  return {
    body,
    size: () => size,
    release() {
      source.off("data", onData);
      source.unpipe(body);
      source.resume();
      body.destroy();
    },
  };
}
