import { WrennError } from "@wrenn/errors";
import { defineCommand } from "../define-command.ts";

export const logoutCommand = defineCommand({
  name: "logout",
  summary: "End the session of wrenn login",
  examples: [["wrenn logout", "log out"]],
  async run({ config, output, signal }) {
    const { ApiClient } = await import("../api/client.ts");
    const { credentialsOf } = await import("../api/connect.ts");
    const { readSession, removeSession } = await import("../api/session-file.ts");
    const session = await readSession(config.sessionFile);
    if (session === undefined) {
      output.result({ logged_out: false }, () => "Nobody is logged in");
      return;
    }
    try {
      await new ApiClient({ url: session.url, credentials: credentialsOf(session) }).call("logOut", { signal });
    } catch (thrown) {
      const error = WrennError.from(thrown);
      // it has ended by itself, or cannot be told; without its token nobody uses it
      if (error.code === "canceled") throw error;
      if (error.code !== "unauthorized") output.note(`The platform was not told: ${error.message}`);
    }
    await removeSession(config.sessionFile);
    output.result({ logged_out: true }, () => `Logged out at ${session.url}`);
  },
});
