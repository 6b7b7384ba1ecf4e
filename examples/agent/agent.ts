/**
 * An agent at work, without a model behind it: its "thoughts" are a script, everything else is real. It
 * writes a program in a sandbox, runs its tests, reads the failure and repairs the program; then it forks
 * the sandbox to try two ways of making it faster at the same time, and keeps the better one.
 *
 *   ./wrenn up --detach && eval "$(./wrenn env)" && node_modules/.bin/node examples/agent/agent.ts
 */
import { Wrenn, type Sandbox } from "@wrenn/sdk";

const FIRST_TRY = `def primes(limit):
    return [n for n in range(limit) if all(n % d for d in range(2, n))]
`;
const REPAIRED = FIRST_TRY.replace("range(limit)", "range(2, limit)");
const TEST = `from primes import primes
assert primes(20) == [2, 3, 5, 7, 11, 13, 17, 19], primes(20)
print("all tests pass")
`;
const IDEAS = {
  "divide up to the root": `def primes(limit):
    return [n for n in range(2, limit) if all(n % d for d in range(2, int(n ** 0.5) + 1))]
`,
  "a sieve": `def primes(limit):
    sieve = bytearray([1]) * limit
    sieve[:2] = bytes(min(2, limit))
    for n in range(2, int(limit ** 0.5) + 1):
        if sieve[n]:
            sieve[n * n::n] = bytes(len(range(n * n, limit, n)))
    return [n for n in range(limit) if sieve[n]]
`,
};
const MEASURE = `import time
from primes import primes
started = time.process_time()
primes(20000)
print(time.process_time() - started)
`;

const wrenn = Wrenn.fromEnv(process.env);
const say = (text: string) => console.log(text);

await using sandbox = await wrenn.sandboxes.create({ metadata: { example: "agent" } });
say(`A sandbox of its own: ${sandbox.id}`);

say("It writes a program and a test");
await sandbox.files.write("work/test.py", TEST);
await sandbox.files.write("work/primes.py", FIRST_TRY);
let passed = await test(sandbox);
if (!passed.ok) {
  say(`The test fails: ${passed.why}`);
  say("It reads the failure: 0 and 1 are no primes. It repairs the program");
  await sandbox.files.write("work/primes.py", REPAIRED);
  passed = await test(sandbox);
}
say(passed.ok ? "All tests pass" : `Still wrong: ${passed.why}`);

say("It has two ideas to make it faster, and tries both at once, in forks");
const forks = await wrenn.call("forkSandbox", { path: { id: sandbox.id }, body: { count: Object.keys(IDEAS).length } });
const tries = await Promise.all(
  Object.entries(IDEAS).map(async ([idea, source], index) => {
    const fork = await wrenn.sandboxes.get(forks[index]?.id ?? "");
    await fork.files.write("work/primes.py", source);
    const { ok } = await test(fork);
    return { idea, fork, source, seconds: ok ? await measure(fork) : Infinity };
  }),
);
const before = await measure(sandbox);
const [best, ...others] = tries.toSorted((a, b) => a.seconds - b.seconds);
if (best === undefined) throw new Error("Cannot choose: there was no idea");
for (const { idea, seconds } of tries) say(`  ${idea}: ${seconds.toFixed(3)} s (before: ${before.toFixed(3)} s)`);
for (const { fork } of others) await fork.destroy();
say(`It keeps ${best.idea}, as it is in ${best.fork.id}:`);
say(await best.fork.files.readText("work/primes.py"));
await best.fork.destroy();

async function test(where: Sandbox): Promise<{ ok: boolean; why: string }> {
  const { exitCode, stderr } = await where.shell("cd work && python3 test.py");
  return { ok: exitCode === 0, why: stderr.trim().split("\n").at(-1) ?? "" };
}

async function measure(where: Sandbox): Promise<number> {
  await where.files.write("work/measure.py", MEASURE);
  const { stdout } = await where.shell("cd work && python3 measure.py", { timeoutSec: 300 });
  return Number(stdout);
}
