/** Session tokens: JWTs (RFC 7519), signed with HS256. What they say is checked against the database on each use. */
import { randomUUID } from "node:crypto";
import { errors, jwtVerify, SignJWT } from "jose";
import type { SessionSecrets } from "./session-secrets.ts";

const LIFETIME_SEC = 6 * 3_600;
const ISSUER = "wrenn";
const AUDIENCE = "wrenn-api";
/** Between the clocks of two control planes. */
const CLOCK_TOLERANCE_SEC = 5;

/** What a token says. */
export interface SessionClaims {
  /** Of this one token, to end it alone. */
  sessionId: string;
  userId: string;
  email: string;
  /** The team that requests are about. */
  teamId: string;
  /** `users.session_epoch` when it was made. */
  epoch: number;
  /** Seconds since 1970. */
  expiresAtSec: number;
}

export class SessionTokens {
  readonly #secrets: SessionSecrets;

  constructor(secrets: SessionSecrets) {
    this.#secrets = secrets;
  }

  async sign(
    claims: Pick<SessionClaims, "userId" | "email" | "teamId" | "epoch">,
  ): Promise<{ token: string; expiresAt: Date }> {
    const [{ keyId, bytes }] = this.#secrets;
    const nowSec = Math.floor(Date.now() / 1_000);
    const token = await new SignJWT({ team_id: claims.teamId, email: claims.email, epoch: claims.epoch })
      .setProtectedHeader({ alg: "HS256", typ: "JWT", kid: keyId })
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setSubject(claims.userId)
      .setJti(randomUUID())
      .setIssuedAt(nowSec)
      .setExpirationTime(nowSec + LIFETIME_SEC)
      .sign(bytes);
    return { token, expiresAt: new Date((nowSec + LIFETIME_SEC) * 1_000) };
  }

  /** @returns undefined for a token that is not ours, was changed, or has ended */
  async verify(token: string): Promise<SessionClaims | undefined> {
    try {
      const { payload } = await jwtVerify(
        token,
        ({ kid }) => {
          const secret = this.#secrets.find(({ keyId }) => keyId === kid);
          if (secret === undefined) throw new errors.JWKSNoMatchingKey();
          return secret.bytes;
        },
        {
          algorithms: ["HS256"],
          issuer: ISSUER,
          audience: AUDIENCE,
          clockTolerance: CLOCK_TOLERANCE_SEC,
          requiredClaims: ["sub", "jti", "exp", "team_id", "epoch"],
        },
      );
      return {
        sessionId: String(payload.jti),
        userId: String(payload.sub),
        email: String(payload["email"]),
        teamId: String(payload["team_id"]),
        epoch: Number(payload["epoch"]),
        expiresAtSec: Number(payload.exp),
      };
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }
}
