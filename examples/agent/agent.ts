/**
 * An agent at work, without a model behind it: its "thoughts" are a script, everything else is real. It
 * writes a program in a sandbox, runs its test, reads the failure and repairs the program; then it forks
 * the sandbox to try two ways of making it faster at the same time, and keeps the better one.
 *
 *   ./wrenn up --detach && eval "$(./wrenn env)" && node_modules/.bin/node examples/agent/agent.ts
 */
import { Wrenn, type Sandbox } from "@wrenn/sdk";
import { FIRST_TRY, IDEAS, MEASURE, REPAIRED, TEST } from "./thoughts.ts";

const wrenn = Wrenn.fromEnv(process.env);
const say = (text: string) => console.log(text);

await using sandbox = await wrenn.sandboxes.create({ metadata: { example: "agent" } });
say(`A sandbox of its own: ${sandbox.id}`);

say("It writes a program and a test");
await sandbox.files.write("work/test.py", TEST);
await sandbox.files.write("work/measure.py", MEASURE);
await sandbox.files.write("work/primes.py", FIRST_TRY);
const failure = await test(sandbox);
if (failure !== undefined) {
  say(`The test fails: ${failure}`);
  say("It reads the failure: 0 and 1 are no primes. It repairs the program");
  await sandbox.files.write("work/primes.py", REPAIRED);
}
const stillWrong = await test(sandbox);
if (stillWrong !== undefined) throw new Error(`Cannot go on: ${stillWrong}`);
say("All tests pass");
const before = await measure(sandbox);

say("It has two ideas to make it faster, and tries both at once, in forks");
await using forks = new AsyncDisposableStack();
const children = await sandbox.fork({ count: IDEAS.length });
for (const child of children) forks.use(child);
const tries = await Promise.all(
  IDEAS.map(async ({ name, program }, index) => {
    const fork = children[index] ?? sandbox;
    await fork.files.write("work/primes.py", program);
    const wrong = await test(fork);
    return { name, fork, seconds: wrong === undefined ? await measure(fork) : Infinity };
  }),
);
say(`  as it was: ${before.toFixed(4)} s`);
for (const { name, seconds } of tries) say(`  ${name}: ${seconds.toFixed(4)} s`);

const [best, ...others] = tries.toSorted((a, b) => a.seconds - b.seconds);
if (best === undefined) throw new Error("Cannot choose: there was no idea");
await Promise.all(others.map(({ fork }) => fork.destroy()));
say(`It keeps ${best.name}, and would go on from there, in ${best.fork.id}:`);
say(await best.fork.files.readText("work/primes.py"));

/** @returns what is wrong, when something is */
async function test(where: Sandbox): Promise<string | undefined> {
  const { exitCode, stderr } = await where.shell("cd work && python3 test.py");
  return exitCode === 0 ? undefined : (stderr.trim().split("\n").at(-1) ?? "it says nothing");
}

/** Seconds of processor time. */
async function measure(where: Sandbox): Promise<number> {
  return Number((await where.shell("cd work && python3 measure.py")).stdout);
}
