/** Sign-up and login: what guards them, and the session that they end in. */
import type { Session } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { Account, AccountStore } from "./account-store.ts";
import { Attempts, networkOf } from "./attempts.ts";
import { hashPassword, needsNewHash, verifyPassword } from "./password.ts";
import type { SessionTokens } from "./session-token.ts";

/** Who may make an account. */
export type SignUpPolicy = "open" | "invitation";

/** Wrong passwords for one account, from wherever. */
const PER_ACCOUNT = { burst: 10, windowMs: 300_000 };
/** Wrong passwords and sign-ups from one network. */
const PER_NETWORK = { burst: 30, windowMs: 300_000 };

export class Login {
  readonly #accounts: AccountStore;
  readonly #tokens: SessionTokens;
  readonly #signUpPolicy: SignUpPolicy;
  readonly #perAccount = new Attempts(PER_ACCOUNT);
  readonly #perNetwork = new Attempts(PER_NETWORK);

  constructor(options: { accounts: AccountStore; tokens: SessionTokens; signUpPolicy: SignUpPolicy }) {
    this.#accounts = options.accounts;
    this.#tokens = options.tokens;
    this.#signUpPolicy = options.signUpPolicy;
  }

  /** @throws WrennError `already_exists`, `forbidden` where accounts need an invitation, `not_found`, `rate_limited` */
  async signUp(
    given: { email: string; password: string; invitation?: string | undefined },
    address: string,
  ): Promise<Session> {
    if (this.#signUpPolicy === "invitation" && given.invitation === undefined) {
      throw new WrennError("forbidden", "Cannot sign up: an account needs an invitation here", {
        hint: "Ask an admin of a team for one",
      });
    }
    this.#perNetwork.take(networkOf(address));
    const hash = await hashPassword(given.password);
    const { teamId, ...account } = await this.#accounts.create(normalizeEmail(given.email), hash, given.invitation);
    return await this.session(account, teamId);
  }

  /** @throws WrennError `unauthorized`, `rate_limited` */
  async logIn(given: { email: string; password: string }, address: string): Promise<Session> {
    const account = await this.#check(await this.#accounts.findByEmail(normalizeEmail(given.email)), given, address);
    return await this.session(account, await this.#accounts.defaultTeam(account));
  }

  /** Ends every session of the user. @throws WrennError `unauthorized`, `rate_limited`, `conflict` */
  async changePassword(
    userId: string,
    given: { current: string; next: string; teamId: string },
    address: string,
  ): Promise<Session> {
    const found = await this.#accounts.find(userId);
    const account = await this.#check(found, { email: found?.email ?? "", password: given.current }, address);
    const changed = await this.#accounts.changePassword(account, await hashPassword(given.next));
    return await this.session(changed, given.teamId);
  }

  /** A new session of an account, for a team that it is a member of. */
  async session({ userId, email, epoch }: Account, teamId: string): Promise<Session> {
    const { token, expiresAt } = await this.#tokens.sign({ userId, email, epoch, teamId });
    return { token, expires_at: expiresAt.toISOString(), user_id: userId, email, team_id: teamId };
  }

  /** Compares the password; only wrong ones use attempts up. */
  async #check(
    found: (Account & { passwordHash: string | undefined }) | undefined,
    given: { email: string; password: string },
    address: string,
  ): Promise<Account> {
    const email = normalizeEmail(given.email);
    const network = networkOf(address);
    this.#perNetwork.take(network);
    this.#perAccount.take(email);
    const matches = await verifyPassword(given.password, found?.passwordHash);
    if (found === undefined || !matches) {
      throw new WrennError("unauthorized", "Cannot log in: the address or the password is wrong", {
        hint: "Sign up first if you have no account here",
      });
    }
    this.#perNetwork.giveBack(network);
    this.#perAccount.giveBack(email);
    if (found.passwordHash !== undefined && needsNewHash(found.passwordHash)) {
      await this.#accounts.replaceHash(found, await hashPassword(given.password));
    }
    return found;
  }
}

/** As addresses are stored and compared. */
export function normalizeEmail(email: string): string {
  return email.trim().toLowerCase();
}
