import { Type, type Static } from "typebox";

/** The body of every answer that is not a success. Codes: docs/reference/errors.md. */
export const ErrorResponse = Type.Object(
  {
    error: Type.Object({
      code: Type.String({ description: "One of the closed list of error codes." }),
      message: Type.String({ description: "What could not be done, and why." }),
      hint: Type.Optional(Type.String({ description: "What to do about it." })),
      request_id: Type.String({ description: "Finds the request in the server's log." }),
    }),
  },
  { $id: "Error" },
);
export type ErrorResponse = Static<typeof ErrorResponse>;

/** The last frame of a WebSocket that ends with an error. */
export const ErrorFrame = Type.Object({
  type: Type.Literal("error"),
  data: Type.String({ description: "The message of `error`." }),
  error: Type.Object({
    code: Type.String(),
    message: Type.String(),
    hint: Type.Optional(Type.String()),
    request_id: Type.Optional(Type.String()),
  }),
});
