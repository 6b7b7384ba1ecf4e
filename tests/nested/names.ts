/** What the two sides of the testbed's wall agree on. */

/** Port inside on which the agent is reached. */
export const GUEST_PORT = 7790;
/** A file in the exchange directory. */
export const TOKEN_NAME = "agent-token";
