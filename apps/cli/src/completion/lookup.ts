/** The things of the platform that a shell can offer. */
import type { ApiClient } from "../api/client.ts";
import type { Completes, Candidate } from "./completes.ts";

/** A Tab that takes longer offers nothing. */
const DEADLINE_MS = 2_000;

/** @param connect the platform that commands of this shell would use */
export async function lookUp(connect: () => Promise<ApiClient>, kind: Completes): Promise<readonly Candidate[]> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  try {
    return await list(await connect(), kind, signal);
  } catch {
    return []; // it does not run, or not for this user: a Tab says nothing of that
  }
}

async function list(client: ApiClient, kind: Completes, signal: AbortSignal): Promise<readonly Candidate[]> {
  switch (kind) {
    case "sandbox":
      return await Array.fromAsync(client.list("listSandboxes", { signal }), ({ id, status, template }) => ({
        word: id,
        summary: `${status}, from ${template}`,
      }));
    case "template":
    case "snapshot": {
      const query = kind === "snapshot" ? { type: "snapshot" as const } : {};
      return await Array.fromAsync(client.list("listTemplates", { query, signal }), ({ name, type }) => ({
        word: name,
        summary: type,
      }));
    }
    case "team":
      return await Array.fromAsync(client.list("listTeams", { signal }), ({ id, name }) => ({
        word: id,
        summary: name,
      }));
    case "key":
      return await Array.fromAsync(client.list("listApiKeys", { signal }), ({ id, name }) => ({
        word: id,
        summary: name,
      }));
    case "member": {
      const { team } = await client.call("whoAmI", { signal });
      const members = client.list("listMembers", { path: { team_id: team.id }, signal });
      return await Array.fromAsync(members, ({ email, role }) => ({ word: email, summary: role }));
    }
    case "file":
    case "command":
      return [];
  }
}
