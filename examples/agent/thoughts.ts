/** What the agent comes up with, in order. A model would be asked instead. */

export const FIRST_TRY = `def primes(limit):
    return [n for n in range(limit) if all(n % d for d in range(2, n))]
`;

export const TEST = `from primes import primes
assert primes(20) == [2, 3, 5, 7, 11, 13, 17, 19], primes(20)
print("all tests pass")
`;

export const REPAIRED = FIRST_TRY.replace("range(limit)", "range(2, limit)");

export const MEASURE = `import time
from primes import primes
started = time.process_time()
primes(4000)
print(time.process_time() - started)
`;

export const IDEAS = [
  {
    name: "divide up to the root",
    program: `def primes(limit):
    return [n for n in range(2, limit) if all(n % d for d in range(2, int(n ** 0.5) + 1))]
`,
  },
  {
    name: "a sieve",
    program: `def primes(limit):
    sieve = bytearray([1]) * limit
    sieve[:2] = bytes(min(2, limit))
    for n in range(2, int(limit ** 0.5) + 1):
        if sieve[n]:
            sieve[n * n::n] = bytes(len(range(n * n, limit, n)))
    return [n for n in range(limit) if sieve[n]]
`,
  },
];
