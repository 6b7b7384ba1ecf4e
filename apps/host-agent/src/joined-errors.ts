/** Clean-ups go on after a failure and report every one. */
import { WrennError } from "@wrenn/errors";

/** Several failures as one error; the message has the reason of each. */
export function joinErrors(message: string, errors: readonly unknown[]): WrennError {
  const reasons = errors.map((error) => (error instanceof Error ? error.message : String(error)));
  return new WrennError("internal", `${message}: ${reasons.join("; ")}`, {
    cause: new AggregateError(errors, message),
  });
}

/** Does one thing after the other, all of them; then throws what failed, joined. */
export async function inOrder(message: string, actions: readonly (() => Promise<void>)[]): Promise<void> {
  const errors: unknown[] = [];
  for (const action of actions) {
    try {
      await action();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw joinErrors(message, errors);
}
