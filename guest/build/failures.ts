/** What a failed build tool means for the user. */
import { WrennError } from "@wrenn/errors";

const NO_SPACE = /No space left on device|ENOSPC|don't have enough free space|Disk quota exceeded/i;
const NO_NETWORK =
  /Could not resolve|Temporary failure (in name resolution|resolving)|Unable to connect|Could not connect|Cannot initiate the connection|Connection (failed|refused|timed out|reset)|Network is unreachable|Failed to fetch|Failed to download/i;
const BAD_SIGNATURE = /NO_PUBKEY|is not signed|signatures? (couldn't be|were) (verified|invalid)|BADSIG|EXPKEYSIG/i;

/**
 * Any failure of a build step as an error that says what to do.
 * @param what the thing that could not be done: `build the guest step kernel`
 */
export function buildFailure(what: string, thrown: unknown, signal: AbortSignal, stateDirectory: string): WrennError {
  const error = WrennError.from(thrown);
  if (signal.aborted || error.code === "canceled") {
    return new WrennError("canceled", `Cannot ${what}: canceled`, {
      cause: thrown,
      hint: "Run it again; finished steps are kept",
    });
  }
  const words = `${error.message}\n${stderrOf(thrown)}`;
  if (error.code === "storage_full" || NO_SPACE.test(words)) {
    return new WrennError("storage_full", `Cannot ${what}: no space is left in ${stateDirectory}`, {
      cause: thrown,
      hint: "Free about 2 GiB there, or choose another directory with WRENN_DIR, and run it again",
    });
  }
  if (BAD_SIGNATURE.test(words)) {
    return new WrennError("missing_requirement", `Cannot ${what}: the signature of Debian's archive does not verify`, {
      cause: thrown,
      hint: "Update the package debian-archive-keyring, check the clock (date) and the mirror in /etc/apt, and run it again",
    });
  }
  if (NO_NETWORK.test(words)) {
    return new WrennError("missing_requirement", `Cannot ${what}: the Debian mirror does not answer`, {
      cause: thrown,
      hint: "The first build downloads about 120 MB. Check that `apt-get update` works (network, proxy, mirror), and run it again",
    });
  }
  if (error.code !== "internal") return error;
  return new WrennError("internal", `Cannot ${what}: ${error.message}`, { cause: thrown });
}

function stderrOf(thrown: unknown): string {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if ("stderr" in error && typeof error.stderr === "string") return error.stderr;
  }
  return "";
}
