import { useState, type FormEvent } from "react";
import { textOf } from "../form.ts";
import { Problem } from "../problem.tsx";
import { useAction } from "../use-action.ts";
import { clientOf, keepCredentials } from "./credentials.ts";

type Way = "key" | "log-in" | "sign-up";
const WAYS: Record<Way, string> = { key: "API key", "log-in": "Sign in", "sign-up": "Sign up" };

export function SignIn() {
  const [way, setWay] = useState<Way>("key");
  const { run, busy, error } = useAction();

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => textOf(form, name).trim();
    void run(async () => {
      if (way === "key") {
        const value = text("key");
        const credentials = { kind: "key", value, name: `${value.slice(0, 8)}…` } as const;
        await clientOf(credentials).call("listSandboxes", { query: { limit: 1 } });
        keepCredentials(credentials);
        return;
      }
      const body = { email: text("email"), password: textOf(form, "password") };
      const invitation = text("invitation");
      const session =
        way === "log-in"
          ? await clientOf(undefined).call("logIn", { body })
          : await clientOf(undefined).call("signUp", {
              body: { ...body, ...(invitation === "" ? {} : { invitation }) },
            });
      keepCredentials({ kind: "session", value: session.token, name: session.email });
    });
  };

  return (
    <main className="sign-in">
      <h1>Wrenn</h1>
      <p>Sandboxes that are virtual machines.</p>
      <div className="tabs" role="tablist" aria-label="How to sign in">
        {(Object.keys(WAYS) as Way[]).map((one) => (
          <button key={one} type="button" role="tab" aria-selected={way === one} onClick={() => setWay(one)}>
            {WAYS[one]}
          </button>
        ))}
      </div>
      <form onSubmit={submit}>
        {way === "key" ? (
          <label>
            API key
            <input name="key" type="password" required autoComplete="off" placeholder="wrn_…" />
            <small>
              <code>./wrenn env</code> prints it.
            </small>
          </label>
        ) : (
          <>
            <label>
              Email
              <input name="email" type="email" required autoComplete="username" />
            </label>
            <label>
              Password
              <input
                name="password"
                type="password"
                required
                autoComplete={way === "log-in" ? "current-password" : "new-password"}
              />
            </label>
            {way === "sign-up" && (
              <label>
                Invitation
                <input name="invitation" autoComplete="off" />
                <small>Leave it empty unless you were given one.</small>
              </label>
            )}
          </>
        )}
        <Problem error={error} />
        <button className="primary" disabled={busy}>
          {busy ? "…" : way === "sign-up" ? "Sign up" : "Sign in"}
        </button>
      </form>
    </main>
  );
}
