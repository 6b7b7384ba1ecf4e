/** For tests: a way to a server that can be cut and mended, as a network does it. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export class CuttableProxy implements AsyncDisposable {
  readonly url: string;
  readonly #close: () => Promise<void>;
  readonly #sockets: Set<Socket>;
  #open = true;

  private constructor(url: string, sockets: Set<Socket>, close: () => Promise<void>) {
    this.url = url;
    this.#sockets = sockets;
    this.#close = close;
  }

  /** @param target the server's address, such as `http://127.0.0.1:7780` */
  static async start(target: string): Promise<CuttableProxy> {
    const { hostname, port } = new URL(target);
    const sockets = new Set<Socket>();
    const server = createServer((incoming) => {
      if (!proxy.#open) return void incoming.destroy();
      const outgoing = connect(Number(port), hostname);
      for (const [socket, other] of [
        [incoming, outgoing],
        [outgoing, incoming],
      ] as const) {
        sockets.add(socket);
        socket.on("error", () => undefined);
        socket.on("close", () => {
          sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const proxy = new CuttableProxy(url, sockets, async () => {
      server.close();
      await once(server, "close");
    });
    return proxy;
  }

  /** Breaks every connection; new ones are refused until `mend`. */
  cut(): void {
    this.#open = false;
    this.#breakAll();
  }

  mend(): void {
    this.#open = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await this.#close();
  }

  #breakAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
