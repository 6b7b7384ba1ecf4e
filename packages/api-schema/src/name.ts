import { Type } from "typebox";
import { LIMITS } from "./limits.ts";

/** Of a team or an API key, for people: need not be unique. Not empty, not blank, no control characters. */
export const Name = Type.String({
  minLength: 1,
  maxLength: LIMITS.maxNameLength,
  pattern: "^[^\\u0000-\\u001f\\u007f]*[^\\s\\u0000-\\u001f\\u007f][^\\u0000-\\u001f\\u007f]*$",
  description: "For people; need not be unique.",
});
