import { WrennError } from "./errors.ts";
import { followEvents, type EventOptions } from "./events.ts";
import { Execution, type AttachOptions, type ExecutionOptions } from "./execution.ts";
import type { CreateSandbox, Event, Health, Template } from "./generated.ts";
import { pages } from "./pages.ts";
import { Sandbox } from "./sandbox.ts";
import {
  Transport,
  type Answer,
  type CallArguments,
  type CallOptions,
  type Input,
  type OperationId,
  type WrennOptions,
} from "./transport.ts";

/** A Wrenn platform. Holds no connection: nothing has to be closed. */
export class Wrenn {
  readonly #transport: Transport;
  readonly sandboxes: Sandboxes;

  constructor(options: WrennOptions = {}) {
    this.#transport = new Transport(options);
    this.sandboxes = new Sandboxes(this.#transport);
  }

  /** With `WRENN_API_URL` and `WRENN_API_KEY`, as `wrenn env` prints them: `Wrenn.fromEnv(process.env)`. */
  static fromEnv(env: Readonly<Record<string, string | undefined>>, options: WrennOptions = {}): Wrenn {
    const { WRENN_API_URL: url, WRENN_API_KEY: apiKey } = env;
    if (url === undefined || apiKey === undefined) {
      throw new WrennError("invalid_request", "Cannot find the platform: WRENN_API_URL or WRENN_API_KEY is not set", {
        hint: 'Run: eval "$(./wrenn env)"',
      });
    }
    return new Wrenn({ url, apiKey, ...options });
  }

  get url(): string {
    return this.#transport.url;
  }

  /** Whether requests can be served. */
  async health(options: CallOptions = {}): Promise<Health> {
    return await this.call("health", options);
  }

  /** The built-in templates and those of the team. */
  templates(options: CallOptions = {}): AsyncGenerator<Template> {
    return pages(this.#transport, "listTemplates", options);
  }

  /** What happens to the team's sandboxes, as it happens; a lost connection is made again, and nothing is missed. */
  events(options: EventOptions = {}): AsyncGenerator<Event, never> {
    return followEvents(this.#transport, options);
  }

  /** Any operation of the API by its id in the OpenAPI document; the answer's JSON, or else the `Response`. */
  async call<Id extends OperationId>(id: Id, ...input: CallArguments<Id>): Promise<Answer<Id>> {
    return await this.#transport.call(id, ...input);
  }

  /** Starts a program in a sandbox of which only the id is at hand; {@link Sandbox.start} is the same. */
  async execute(sandboxId: string, cmd: string, options: ExecutionOptions = {}): Promise<Execution> {
    return await Execution.start(this.#transport, sandboxId, cmd, options);
  }

  /** Goes on with a program of a sandbox of which only the id is at hand; {@link Sandbox.attach} is the same. */
  async attach(sandboxId: string, pid: number, options: AttachOptions = {}): Promise<Execution> {
    return await Execution.attach(this.#transport, sandboxId, pid, options);
  }

  /** Any operation, its answer not yet read. */
  async response<Id extends OperationId>(id: Id, ...[input]: CallArguments<Id>): Promise<Response> {
    return await this.#transport.response(id, input);
  }

  /** A request by its method and path, its answer not yet read. */
  async request(
    method: string,
    path: string,
    input: CallOptions & { query?: Record<string, unknown>; body?: unknown } = {},
  ): Promise<Response> {
    return await this.#transport.request({ method, path }, input);
  }

  /** Every item of a list operation, page by page. */
  list<Id extends OperationId>(
    id: Answer<Id> extends unknown[] ? Id : never,
    ...[input]: CallArguments<Id>
  ): AsyncGenerator<Answer<Id> extends (infer Item)[] ? Item : never> {
    return pages(this.#transport, id, input);
  }
}

export class Sandboxes {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Makes a sandbox; resolves when its guest can be used. */
  async create(settings: CreateSandbox = {}, options: CallOptions = {}): Promise<Sandbox> {
    return new Sandbox(this.#transport, await this.#transport.call("createSandbox", { body: settings, ...options }));
  }

  async get(id: string, options: CallOptions = {}): Promise<Sandbox> {
    return new Sandbox(this.#transport, await this.#transport.call("getSandbox", { path: { id }, ...options }));
  }

  /** Newest first, fetched page by page as they are consumed. */
  async *list(
    query: Omit<NonNullable<Input<"listSandboxes">["query"]>, "limit" | "cursor"> = {},
    options: CallOptions = {},
  ): AsyncGenerator<Sandbox> {
    for await (const data of pages<Sandbox["data"]>(this.#transport, "listSandboxes", { query, ...options }))
      yield new Sandbox(this.#transport, data);
  }
}
