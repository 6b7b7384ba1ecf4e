/**
 * A form with the parts `path` and `file`, in either order, streamed. When the file comes first, or no
 * path with the query, it goes to a temporary file of the guest, and to its place when all of the form
 * was read: what is wrong with the rest of the form is known by then.
 */
import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import { Busboy, type BusboyFileStream, type BusboyHeaders } from "@fastify/busboy";
import type { FastifyRequest } from "fastify";
import { LIMITS } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { uploadFrom } from "./upload-body.ts";

const LIMITS_OF_FORM = {
  fieldNameSize: 100,
  fieldSize: LIMITS.maxPathLength + 1,
  fields: 8,
  files: 1,
  parts: 9,
  headerPairs: 32,
  fileSize: Infinity,
};

/** What is done with the parts. */
export interface UploadTarget {
  /** Writes a file; answers when the guest has all of it. */
  write(path: string, body: Readable): Promise<void>;
  /** Puts a temporary file in its place. */
  move(temporary: string, path: string): Promise<void>;
  remove(temporary: string): Promise<void>;
}

/** @param path of the query, if it has one. @returns where the file is now, and its size in bytes. */
export async function receiveForm(
  request: FastifyRequest,
  path: string | undefined,
  target: UploadTarget,
): Promise<{ path: string; size: number }> {
  const form = parserOf(request);
  let given = path;
  let temporary: string | undefined;
  let written: Promise<number> | undefined;
  const failed = new AbortController();
  const { promise: read, resolve, reject } = Promise.withResolvers<void>();
  form.on("field", (name: string, value: string, _nameCut: boolean, valueCut: boolean) => {
    if (name !== "path") return;
    if (valueCut || value === "" || value.includes("\0"))
      reject(malformed(`the path needs 1 to ${LIMITS.maxPathLength} bytes`));
    else given ??= value;
  });
  form.on("file", (name: string, file: BusboyFileStream) => {
    if (name !== "file" || written !== undefined) {
      file.resume();
      return;
    }
    if (given === undefined) temporary = `/tmp/.upload-${randomUUID()}`;
    written = writePart(given ?? (temporary as string), file, target, failed.signal);
    written.catch(reject);
  });
  for (const limit of ["partsLimit", "filesLimit", "fieldsLimit"] as const)
    form.on(limit, () => reject(malformed("it has too many parts")));
  form.on("error", (cause: unknown) =>
    reject(cause instanceof WrennError ? cause : malformed("it is no multipart form, or ended early", cause)),
  );
  form.on("finish", resolve);
  const onClose = () => {
    if (!request.raw.complete) form.destroy(new WrennError("canceled", "Cannot read the form: the caller went away"));
  };
  request.raw.once("close", onClose);
  request.raw.pipe(form);
  try {
    await read;
    if (written === undefined) throw malformed("it has no part named file");
    const size = await written;
    if (given === undefined) throw malformed("neither the form nor the query has a path");
    if (temporary !== undefined) await target.move(temporary, given);
    return { path: given, size };
  } catch (error) {
    request.raw.unpipe(form);
    request.raw.resume();
    form.destroy();
    failed.abort(error); // the parser does not end the part that it was reading
    await written?.catch(() => undefined);
    if (temporary !== undefined) await target.remove(temporary).catch(() => undefined);
    throw error;
  } finally {
    request.raw.off("close", onClose);
  }
}

async function writePart(
  path: string,
  file: BusboyFileStream,
  target: UploadTarget,
  failed: AbortSignal,
): Promise<number> {
  const upload = uploadFrom(file);
  file.once("error", (error: Error) => upload.body.destroy(error));
  failed.addEventListener("abort", () => upload.body.destroy(failed.reason as Error), { once: true });
  try {
    await target.write(path, upload.body);
    return upload.size();
  } finally {
    upload.release();
  }
}

function parserOf(request: FastifyRequest): InstanceType<typeof Busboy> {
  try {
    return new Busboy({
      headers: request.headers as BusboyHeaders,
      limits: LIMITS_OF_FORM,
      // paths, not base names, and never a charset's guess
      preservePath: true,
      // whatever its content type, the part `file` is the file
      isPartAFile: (name) => name === "file",
    });
  } catch (cause) {
    throw malformed("its content type is not multipart/form-data with a boundary", cause);
  }
}

function malformed(why: string, cause?: unknown): WrennError {
  return new WrennError("invalid_request", `Cannot read the form: ${why}`, {
    cause,
    hint: "Send multipart/form-data with the parts path (text) and file",
  });
}
