/** The server's certificate. Read again on SIGHUP, so that a renewed one needs no restart. */
import { readFileSync } from "node:fs";
import { createServer, type Server, type ServerOptions } from "node:https";
import type { RequestListener } from "node:http";
import { createSecureContext } from "node:tls";
import { WrennError } from "@wrenn/errors";

/** Files in PEM; the certificate with its chain. */
export interface TlsFiles {
  certificate: string;
  key: string;
}

/** @throws WrennError `invalid_request` when the files cannot be used. */
export function createTlsServer(files: TlsFiles, options: ServerOptions, listener: RequestListener): Server {
  return createServer({ ...options, ...read(files), minVersion: "TLSv1.2" }, listener);
}

/** New connections get the certificate that the files have now. @throws as `createTlsServer` */
export function renewCertificate(server: Server, files: TlsFiles): void {
  server.setSecureContext({ ...read(files), minVersion: "TLSv1.2" });
}

function read({ certificate, key }: TlsFiles): { cert: Buffer; key: Buffer } {
  try {
    const pair = { cert: readFileSync(certificate), key: readFileSync(key) };
    createSecureContext(pair);
    return pair;
  } catch (cause) {
    throw new WrennError("invalid_request", `Cannot use the certificate ${certificate}: ${(cause as Error).message}`, {
      cause,
      hint: "WRENN_TLS_CERT and WRENN_TLS_KEY name the PEM files of a certificate and its key",
    });
  }
}
