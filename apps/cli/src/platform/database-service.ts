/** The embedded database as a service. */
import { startEmbeddedPostgres, stopEmbeddedPostgres } from "@wrenn/postgres";
import { parseLogLine } from "./log-record.ts";
import type { Service } from "./service.ts";

export function databaseService(stateDirectory: string): Service {
  return {
    name: "database",
    async launch({ signal, log }) {
      // a supervisor that was killed leaves its database running
      await stopEmbeddedPostgres(stateDirectory);
      const server = await startEmbeddedPostgres({ stateDirectory, signal, log: (line) => log(parseLogLine(line)) });
      return {
        pid: server.pid,
        exited: server.exited.then(({ code, signal: by }) => by ?? `exit status ${code}`),
        stop: async () => await server.stop(),
      };
    },
  };
}
