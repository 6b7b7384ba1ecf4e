import { WrennError } from "@wrenn/errors";
import { defineCommand } from "../../define-command.ts";
import { formatTable } from "../../terminal/table.ts";
import { TEAM_OPTION, teamIdOf } from "./current-team.ts";

export const listTeamsCommand = defineCommand({
  name: "list",
  aliases: ["ls"],
  summary: "List your teams; * marks the one that you work in",
  examples: [["wrenn team list", "which you are in"]],
  async run({ connect, output, signal }) {
    const client = await connect();
    const { team: current } = await client.call("whoAmI", { signal });
    const teams = await Array.fromAsync(client.list("listTeams", { signal }));
    output.result(teams, () =>
      formatTable(
        ["", "ID", "NAME", "ROLE"],
        teams.map(({ id, name, role }) => [id === current.id ? "*" : "", id, name, role]),
      ),
    );
  },
});

export const createTeamCommand = defineCommand({
  name: "create",
  summary: "Make a team and print its id",
  arguments: [{ syntax: "<name>", description: "for people" }],
  examples: [['wrenn team switch "$(wrenn team create Birds)"', "make a team and work in it"]],
  async run({ connect, output, signal }, [name = ""]) {
    const team = await (await connect()).call("createTeam", { body: { name }, signal });
    output.result(team, () => team.id);
  },
});

export const switchTeamCommand = defineCommand({
  name: "switch",
  summary: "Work in another team from now on",
  arguments: [{ syntax: "<id>", description: "the team", completes: "team" }],
  examples: [["wrenn team switch $id", "work in it from now on"]],
  async run({ connect, config, output, signal }, [id = ""]) {
    const { readSession, writeSession } = await import("../../api/session-file.ts");
    const stored = await readSession(config.sessionFile);
    if (stored === undefined || config.WRENN_API_KEY !== undefined) {
      throw new WrennError("unauthorized", "Cannot switch the team: a key has one team for good", {
        hint: "Log in (./wrenn login), without WRENN_API_KEY",
      });
    }
    const session = await (await connect()).call("switchTeam", { body: { team_id: id }, signal });
    await writeSession(config.sessionFile, { ...session, url: stored.url });
    output.result({ team_id: id }, () => id);
  },
});

export const renameTeamCommand = defineCommand<{ team?: string }>({
  name: "rename",
  summary: "Rename a team",
  arguments: [{ syntax: "<name>", description: "the new name" }],
  options: [TEAM_OPTION],
  examples: [["wrenn team rename 'Night shift'", "another name for yours"]],
  async run({ connect, output, signal }, [name = ""], options) {
    const client = await connect();
    const path = { team_id: await teamIdOf(client, options.team, signal) };
    const team = await client.call("renameTeam", { path, body: { name }, signal });
    output.result(team, () => team.name);
  },
});

export const rmTeamCommand = defineCommand({
  name: "rm",
  summary: "Delete a team, with its members and keys",
  arguments: [{ syntax: "<id>", description: "the team", completes: "team" }],
  examples: [["wrenn team rm $id", "for good"]],
  async run({ connect, output, signal }, [id = ""]) {
    await (await connect()).call("deleteTeam", { path: { team_id: id }, signal });
    output.result({ deleted: id }, () => id);
  },
});
