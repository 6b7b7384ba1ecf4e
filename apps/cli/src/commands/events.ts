import { EVENT_TYPES, type Event, type EventType } from "@wrenn/api-schema";
import { defineCommand } from "../define-command.ts";

const PAGE_SIZE = 100;

interface EventsOptions {
  follow?: boolean;
  sandbox?: string;
  type?: EventType;
  after?: string;
}

export const eventsCommand = defineCommand<EventsOptions>({
  name: "events",
  summary: "Show what happens to the team's sandboxes",
  description: [
    "Shows the changes of every sandbox of the team, oldest first. With --follow it goes on with those to come; a lost connection is made again, and nothing is missed.",
  ],
  options: [
    { flags: "-f, --follow", description: "go on with what happens from now on" },
    { flags: "--sandbox <id>", description: "only those of this sandbox", completes: "sandbox" },
    { flags: "--type <type>", description: "only those of this type", choices: EVENT_TYPES },
    { flags: "--after <event>", description: "only those after the event of this id" },
  ],
  examples: [["wrenn events -f --type sandbox.failed", "wait for failures"]],
  async run({ connect, output, signal }, _args, { follow, sandbox, type, after }) {
    const client = await connect();
    const filter = {
      ...(sandbox === undefined ? {} : { sandbox_id: sandbox }),
      ...(type === undefined ? {} : { types: type }),
    };
    const show = (event: Event): void => output.line(output.json ? JSON.stringify(event) : lineOf(event));
    let last = after ?? "0";
    for (let more = true; more;) {
      const page = await client.call("listEvents", { query: { ...filter, after: last, limit: PAGE_SIZE }, signal });
      page.forEach(show);
      last = page.at(-1)?.id ?? last;
      more = page.length === PAGE_SIZE;
    }
    if (follow !== true) return;
    const following = {
      after: last,
      ...(sandbox === undefined ? {} : { sandboxId: sandbox }),
      ...(type === undefined ? {} : { types: [type] }),
    };
    for await (const event of client.events({ ...following, signal })) show(event);
  },
});

function lineOf({ id, created_at, type, sandbox_id, data }: Event): string {
  const reason = data.reason === undefined ? "" : `  ${data.reason}`;
  return `${created_at}  ${id.padStart(6)}  ${type.padEnd(18)}  ${sandbox_id}  ${data.template}${reason}`;
}
