import { useState, type FormEvent } from "react";
import { textOf } from "../form.ts";
import { Problem } from "../problem.tsx";
import { useAction } from "../use-action.ts";
import { clientOf, keepCredentials, type Credentials } from "./credentials.ts";

type Way = "key" | "log-in" | "sign-up";
const WAYS: Record<Way, string> = { key: "API key", "log-in": "Sign in", "sign-up": "Sign up" };

export function SignIn() {
  const [way, setWay] = useState<Way>("key");
  const { run, busy, error } = useAction();

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    void run(async () => keepCredentials(way === "key" ? await withKey(form) : await withPassword(form, way)));
  };

  return (
    <main className="sign-in">
      <h1>Wrenn</h1>
      <p className="quiet">Computers for programs and agents: real virtual machines, in a moment.</p>
      <form className="card" onSubmit={submit}>
        <fieldset className="choice">
          <legend className="hidden">How to sign in</legend>
          {(Object.keys(WAYS) as Way[]).map((one) => (
            <label key={one}>
              <input type="radio" name="way" value={one} checked={way === one} onChange={() => setWay(one)} />
              <span>{WAYS[one]}</span>
            </label>
          ))}
        </fieldset>
        {way === "key" ? (
          <label>
            Key
            <input name="key" type="password" required autoComplete="off" placeholder="wrn_…" />
            <small>
              The platform made one at its first start: <code>./wrenn env</code> prints it.
            </small>
          </label>
        ) : (
          <Person isNew={way === "sign-up"} />
        )}
        <Problem error={error} />
        <button className="primary" disabled={busy}>
          {busy ? "One moment…" : way === "sign-up" ? "Make an account" : "Go on"}
        </button>
      </form>
    </main>
  );
}

function Person({ isNew }: { isNew: boolean }) {
  return (
    <>
      <label>
        Email
        <input name="email" type="email" required autoComplete="username" />
      </label>
      <label>
        Password
        <input name="password" type="password" required autoComplete={isNew ? "new-password" : "current-password"} />
      </label>
      {isNew && (
        <label>
          Invitation
          <input name="invitation" autoComplete="off" />
          <small>Leave it empty unless you were given one.</small>
        </label>
      )}
    </>
  );
}

/** @throws WrennError `unauthorized` */
async function withKey(form: FormData): Promise<Credentials> {
  const value = textOf(form, "key").trim();
  const credentials: Credentials = { kind: "key", value, name: `${value.slice(0, 8)}…` };
  const { team } = await clientOf(credentials).call("whoAmI");
  return { ...credentials, name: `${team.name}, ${credentials.name}` };
}

async function withPassword(form: FormData, way: "log-in" | "sign-up"): Promise<Credentials> {
  const client = clientOf(undefined);
  const body = { email: textOf(form, "email").trim(), password: textOf(form, "password") };
  const invitation = textOf(form, "invitation").trim();
  const session =
    way === "log-in"
      ? await client.call("logIn", { body })
      : await client.call("signUp", { body: { ...body, ...(invitation === "" ? {} : { invitation }) } });
  return { kind: "session", value: session.token, name: session.email };
}
