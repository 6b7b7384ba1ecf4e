/**
 * What the CLI's exit codes say; docs/reference/cli.md lists them. `run` and `sandbox exec` end with the
 * command's own code, so their own failures use the codes that docker and env(1) use.
 */
import type { WrennError } from "@wrenn/errors";

export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  /** The machine lacks something, or root is needed. */
  missing: 3,
  /** The platform does not run or does not answer. */
  unavailable: 4,
  notFound: 5,
  /** `testbed`: the power was cut. */
  powerCut: 86,
  /** `run`: the time limit ended the command. */
  commandTimeout: 124,
  /** `run`: Wrenn failed, not the command. */
  runFailed: 125,
  commandNotExecutable: 126,
  commandNotFound: 127,
  /** `run`: nobody reads the output any more; as if SIGPIPE had ended the command. */
  outputClosed: 141,
} as const;

/** The exit code of a command that failed with `error`. */
export function exitCodeOf(error: WrennError): number {
  switch (error.code) {
    case "invalid_request":
      return EXIT.usage;
    case "missing_requirement":
    case "needs_root":
      return EXIT.missing;
    case "unavailable":
    case "agent_unavailable":
      return EXIT.unavailable;
    case "not_found":
      return EXIT.notFound;
    case "canceled":
      return 130;
    default:
      return EXIT.failed;
  }
}
