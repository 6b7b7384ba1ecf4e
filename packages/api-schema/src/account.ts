import { Type, type Static } from "typebox";
import { Role, Scope } from "./access.ts";
import { LIMITS } from "./limits.ts";
import { Timestamp } from "./timestamp.ts";

/** Compared without regard to case and to spaces around it. */
export const Email = Type.String({
  minLength: 3,
  maxLength: LIMITS.maxEmailLength,
  // printable ASCII; the others would be compared differently here and in the database
  pattern: "^\\s*[!-?A-~]+@[!-?A-~]+\\s*$",
  description: "E-mail address.",
});

const NewPassword = Type.String({
  minLength: LIMITS.minPasswordLength,
  maxLength: LIMITS.maxPasswordLength,
  description: "Password.",
});
/** One that is compared only: what is too short is wrong, not malformed. */
const GivenPassword = Type.String({ maxLength: LIMITS.maxPasswordLength, description: "Password." });

export const InvitationToken = Type.String({
  minLength: 1,
  maxLength: 128,
  description: "The token of an invitation's link.",
});

export const SignUpRequest = Type.Object(
  {
    email: Email,
    password: NewPassword,
    invitation: Type.Optional(InvitationToken),
  },
  { $id: "SignUp", additionalProperties: false },
);
export type SignUpRequest = Static<typeof SignUpRequest>;

export const LogInRequest = Type.Object(
  { email: Type.String({ maxLength: LIMITS.maxEmailLength }), password: GivenPassword },
  { $id: "LogIn", additionalProperties: false },
);
export type LogInRequest = Static<typeof LogInRequest>;

export const ChangePasswordRequest = Type.Object(
  { current_password: GivenPassword, new_password: NewPassword },
  { $id: "ChangePassword", additionalProperties: false },
);
export type ChangePasswordRequest = Static<typeof ChangePasswordRequest>;

export const SwitchTeamRequest = Type.Object(
  { team_id: Type.String({ maxLength: 128 }) },
  { $id: "SwitchTeam", additionalProperties: false },
);
export type SwitchTeamRequest = Static<typeof SwitchTeamRequest>;

/** What a person who logged in sends with later requests: `Authorization: Bearer <token>`. */
export const Session = Type.Object(
  {
    token: Type.String({ description: "For the header Authorization: Bearer." }),
    expires_at: Timestamp("When the token ends."),
    user_id: Type.String(),
    email: Type.String(),
    team_id: Type.String({ description: "The team that requests are about." }),
  },
  { $id: "Session" },
);
export type Session = Static<typeof Session>;

/** Who a request is from. */
export const Identity = Type.Object(
  {
    user: Type.Optional(Type.Object({ id: Type.String(), email: Type.String() })),
    api_key: Type.Optional(Type.Object({ id: Type.String(), name: Type.String() })),
    team: Type.Object({ id: Type.String(), name: Type.String() }),
    role: Role,
    scopes: Type.Array(Scope),
  },
  { $id: "Identity" },
);
export type Identity = Static<typeof Identity>;
