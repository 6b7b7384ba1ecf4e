/** Carries every connection to another place, bytes as they are: between a Unix socket and a port. */
import { once } from "node:events";
import { connect, createServer, type NetConnectOpts, type Server } from "node:net";
import { pipeline } from "node:stream";

/** @returns what listens; its end cuts nothing that is under way */
export async function relay(
  listen: { path: string } | { port: number; host: string },
  to: NetConnectOpts,
): Promise<Server> {
  const ignore = (): void => undefined; // one end has gone, and takes the other with it
  const server = createServer((near) => {
    const far = connect(to);
    pipeline(near, far, ignore);
    pipeline(far, near, ignore);
  });
  server.listen(listen);
  await once(server, "listening");
  return server;
}
