import { Type, type Static } from "typebox";
import { Role } from "./access.ts";
import { Email, InvitationToken } from "./account.ts";
import { LIMITS } from "./limits.ts";
import { Name } from "./name.ts";
import { Timestamp } from "./timestamp.ts";

export const Team = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    role: Role,
    created_at: Timestamp("When it was made."),
  },
  { $id: "Team" },
);
export type Team = Static<typeof Team>;

export const TeamParams = Type.Object({ team_id: Type.String({ maxLength: 128 }) });
export type TeamParams = Static<typeof TeamParams>;

export const CreateTeamRequest = Type.Object({ name: Name }, { $id: "CreateTeam", additionalProperties: false });
export type CreateTeamRequest = Static<typeof CreateTeamRequest>;

export const RenameTeamRequest = Type.Object({ name: Name }, { $id: "RenameTeam", additionalProperties: false });
export type RenameTeamRequest = Static<typeof RenameTeamRequest>;

export const Member = Type.Object(
  {
    user_id: Type.String(),
    email: Type.String(),
    role: Role,
    joined_at: Timestamp("When the user joined."),
  },
  { $id: "Member" },
);
export type Member = Static<typeof Member>;

export const MemberParams = Type.Object({ ...TeamParams.properties, user_id: Type.String({ maxLength: 128 }) });

export const ChangeRoleRequest = Type.Object({ role: Role }, { $id: "ChangeRole", additionalProperties: false });
export type ChangeRoleRequest = Static<typeof ChangeRoleRequest>;

export const CreateInvitationRequest = Type.Object(
  {
    role: Type.Enum(["member", "admin", "owner"], { default: "member" }),
    email: Type.Optional(Email),
    expires_in_sec: Type.Integer({
      minimum: 60,
      maximum: LIMITS.maxInvitationLifetimeSec,
      default: LIMITS.defaultInvitationLifetimeSec,
    }),
  },
  { $id: "CreateInvitation", additionalProperties: false },
);
/** What the server sees: defaults are filled in. */
export type CreateInvitationRequest = Static<typeof CreateInvitationRequest>;
/** What a client may send. */
export type CreateInvitationInput = Partial<CreateInvitationRequest>;

export const Invitation = Type.Object(
  {
    id: Type.String(),
    team_id: Type.String(),
    role: Role,
    email: Type.Optional(Type.String({ description: "The only address that may accept it." })),
    created_by: Type.Optional(Type.String()),
    created_at: Timestamp("When it was made."),
    expires_at: Timestamp("When it ends."),
  },
  { $id: "Invitation" },
);
export type Invitation = Static<typeof Invitation>;

export const CreatedInvitation = Type.Object(
  {
    ...Invitation.properties,
    token: Type.String({ description: "Lets one person join; shown this once." }),
    path: Type.String({ description: "Of the page that accepts it, with the token as the fragment." }),
  },
  { $id: "CreatedInvitation" },
);
export type CreatedInvitation = Static<typeof CreatedInvitation>;

export const InvitationParams = Type.Object({ ...TeamParams.properties, id: Type.String({ maxLength: 128 }) });

export const AcceptInvitationRequest = Type.Object(
  { token: InvitationToken },
  { $id: "AcceptInvitation", additionalProperties: false },
);
export type AcceptInvitationRequest = Static<typeof AcceptInvitationRequest>;
