/**
 * The floor of bench/api: Fastify and PostgreSQL with the bare query of each operation, and nothing else: no keys, no
 * checks, no log, no host. Its own process, as the control plane is one. Prints its address when it serves.
 *
 * `node bare-server.ts DATABASE_URL TEAM_ID`
 */
import { fastify } from "fastify";
import pg from "pg";

const [connectionString, teamId] = process.argv.slice(2);
/** As many connections as the control plane has. */
const database = new pg.Pool({ connectionString, max: 20 });
await database.query("create table if not exists bare_sandboxes (id text primary key, body jsonb not null)");

/** What the API tells of a sandbox, so that answers have the same size. */
const COLUMNS = `id, state as status, template_name as template, vcpus, memory_mib as memory_mb, disk_mib as disk_mb,
  idle_timeout_sec as timeout_sec, on_timeout, metadata, created_at, started_at, last_active_at,
  updated_at as last_updated, health`;
/** Prepared statements, as the control plane's own. */
const GET = { name: "get", text: `select ${COLUMNS} from sandboxes where id = $1 and team_id = $2` };
const LIST = {
  name: "list",
  text: `select ${COLUMNS} from sandboxes where team_id = $1 and state <> 'gone' order by created_at desc, id limit $2`,
};

const app = fastify();
const getOne = async (id: string) => (await database.query({ ...GET, values: [id, teamId] })).rows[0];

app.get<{ Params: { id: string } }>("/sandboxes/:id", async ({ params }) => await getOne(params.id));

app.get("/sandboxes", async () => (await database.query({ ...LIST, values: [teamId, 20] })).rows);

let made = 0;
app.post("/sandboxes", async ({ body }, reply) => {
  const { rows } = await database.query("insert into bare_sandboxes values ($1, $2) returning *", [
    `bare${++made}`,
    body ?? {},
  ]);
  return await reply.code(201).send(rows[0]);
});

app.delete<{ Params: { id: string } }>("/sandboxes/:id", async ({ params }, reply) => {
  await database.query("delete from bare_sandboxes where id = $1", [params.id]);
  return await reply.code(204).send();
});

app.post<{ Params: { id: string } }>("/sandboxes/:id/exec", async ({ params }) => await getOne(params.id));

process.stdout.write(`${await app.listen({ host: "127.0.0.1", port: 0 })}\n`);
