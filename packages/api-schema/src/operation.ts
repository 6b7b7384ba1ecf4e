import { Type, type Static } from "typebox";
import { Timestamp } from "./timestamp.ts";

/** One timed part of an operation; parts may overlap. */
export const OperationStage = Type.Object(
  {
    name: Type.String({
      description: "What was done: `turn`, `slot`, `disk`, `restore`, `hook`, `freeze`, `capture` and so on.",
    }),
    start_ms: Type.Number({ description: "Milliseconds from the operation's start to this stage's." }),
    duration_ms: Type.Number(),
    bytes: Type.Integer({ description: "Bytes that it wrote or loaded; 0 when it moved none." }),
    pages: Type.Optional(
      Type.Record(Type.String(), Type.Integer(), {
        description: "Pages of memory by what became of them or where they came from.",
      }),
    ),
  },
  { $id: "OperationStage" },
);
export type OperationStage = Static<typeof OperationStage>;

/** What was done to a sandbox once, and how long its parts took. */
export const Operation = Type.Object(
  {
    operation: Type.String({
      description: "`create`, `fork`, `pause`, `resume`, `checkpoint`, `snapshot`, `rewrite` or `destroy`.",
    }),
    incarnation: Type.Integer({ description: "Which of the sandbox's lives; one more after each resume." }),
    started_at: Timestamp("When it began."),
    duration_ms: Type.Number(),
    stages: Type.Array(OperationStage),
    error: Type.Optional(
      Type.Object(
        { code: Type.String({ description: "One of docs/reference/errors.md." }), message: Type.String() },
        { description: "Why it failed; absent when it did not." },
      ),
    ),
  },
  { $id: "Operation" },
);
export type Operation = Static<typeof Operation>;
