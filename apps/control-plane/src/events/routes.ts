/** GET /v1/events: what happened to the team's sandboxes, page by page, or as it happens. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { Event, ListEventsQuery, StreamEventsQuery, type EventType } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { callerOf } from "../auth/authenticate.ts";
import { whenGone } from "../http/gone.ts";
import type { Services } from "../services.ts";
import { EventStream } from "./event-stream.ts";
import type { EventFilter } from "./event-store.ts";

export const eventRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const streams = new Set<EventStream>();

  app.get(
    "/events",
    { schema: { querystring: ListEventsQuery, response: { 200: Type.Array(Event) } } },
    async (request) => {
      const { limit, after } = request.query;
      return await services.events.after(
        callerOf(request).teamId,
        after === undefined ? 0 : Number(after),
        limit,
        filterOf(request.query),
      );
    },
  );

  app.get(
    "/events/stream",
    { schema: { querystring: StreamEventsQuery }, exposeHeadRoute: false },
    async (request, reply) => {
      const { teamId } = callerOf(request);
      const after = lastEventId(request.headers["last-event-id"]) ?? request.query.after;
      const from = after === undefined ? await services.events.newestId(teamId) : Number(after);
      const stream = new EventStream({
        ...services,
        teamId,
        after: from,
        filter: filterOf(request.query),
        log: request.log,
      });
      streams.add(stream);
      services.metrics.streams.inc({ kind: "events" });
      whenGone(reply, () => {
        streams.delete(stream);
        services.metrics.streams.dec({ kind: "events" });
        stream.end();
      });
      return reply
        .headers({ "cache-control": "no-store", "x-accel-buffering": "no" })
        .type("text/event-stream; charset=utf-8")
        .send(stream.body);
    },
  );

  // before the server waits for its connections to end
  app.addHook("preClose", async () => {
    for (const stream of streams) stream.end();
  });
};

function filterOf({ types, sandbox_id }: { types?: string; sandbox_id?: string }): EventFilter {
  return {
    ...(types === undefined ? {} : { types: types.split(",") as EventType[] }),
    ...(sandbox_id === undefined ? {} : { sandboxId: sandbox_id }),
  };
}

function lastEventId(header: string | string[] | undefined): string | undefined {
  if (header === undefined || header === "") return undefined;
  if (typeof header === "string" && /^[0-9]{1,16}$/.test(header)) return header;
  throw new WrennError("invalid_request", "Cannot use the header Last-Event-ID: it is no id of an event", {
    hint: "Send the id of the last event that came, or leave it out",
  });
}
