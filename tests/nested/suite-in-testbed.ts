/** Runs in the testbed: a command for which the shared guest is on the testbed's disk. Arguments: the command. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { takeSharedGuest } from "./shared-guest.ts";

await takeSharedGuest(["base"]);
const [program = "", ...rest] = process.argv.slice(2);
const [code] = (await once(spawn(program, rest, { stdio: "inherit" }), "exit")) as [number | null];
process.exit(code ?? 1);
