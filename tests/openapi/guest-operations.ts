/** Operations that end in a guest, by their ids: a model of a host cannot answer them. */
export const GUEST_OPERATIONS = ["exec", "execStream", "readFile", "writeFile"] as const;
