import { WrennError } from "@wrenn/errors";
import { defineCommand } from "../define-command.ts";
import { readPassword } from "../terminal/password.ts";

interface LoginOptions {
  signUp?: boolean;
  invitation?: string;
}

export const loginCommand = defineCommand<LoginOptions>({
  name: "login",
  summary: "Log in, or sign up",
  description: [
    "Logs in at the platform that WRENN_API_URL names, else at this machine's. The password is asked for, or read from standard input. Later commands use the session until it ends, after 6 hours, or `wrenn logout`.",
    "Nobody has to log in on the machine that the platform runs on: root has its first key.",
  ],
  arguments: [{ syntax: "<email>", description: "the account" }],
  options: [
    { flags: "--sign-up", description: "make the account, and a team of its own" },
    { flags: "--invitation <token>", description: "with --sign-up: join this team as well" },
  ],
  examples: [
    ["wrenn login ada@example.org", "log in"],
    ["wrenn login --sign-up ada@example.org < password-file", "make an account"],
  ],
  async run({ config, output, signal }, [email = ""], { signUp, invitation }) {
    if (invitation !== undefined && signUp !== true) {
      throw new WrennError("invalid_request", "Cannot use the invitation: it is for --sign-up", {
        hint: "Log in without it, then: wrenn team join TOKEN",
      });
    }
    const { findUrl } = await import("../api/connect.ts");
    const { ApiClient } = await import("../api/client.ts");
    const { writeSession } = await import("../api/session-file.ts");
    const url = await findUrl(config);
    const password = await readPassword(`Password of ${email}: `);
    const client = new ApiClient({ url, credentials: {} });
    const session =
      signUp === true
        ? await client.call("signUp", {
            body: { email, password, ...(invitation === undefined ? {} : { invitation }) },
            signal,
          })
        : await client.call("logIn", { body: { email, password }, signal });
    await writeSession(config.sessionFile, { ...session, url });
    if (config.WRENN_API_KEY !== undefined) output.note("WRENN_API_KEY is set; commands use it instead of the session");
    const { token: _, ...shown } = session;
    output.result(shown, () => `Logged in at ${url} as ${session.email}, team ${session.team_id}`);
  },
});
