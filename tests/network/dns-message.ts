/** The little of DNS (RFC 1035) that tests need: a question for one name, and its answer. */

/** What a message asks and answers. */
export interface DnsMessage {
  id: number;
  name: string;
  /** 1: A; 28: AAAA. */
  type: number;
  /** 0: no error; 3: no such name. */
  code: number;
  addresses: string[];
}

const A = 1;

/** A recursive query for the address of `name`. */
export function encodeQuery(id: number, name: string): Buffer {
  return Buffer.concat([header(id, 0x0100, 0), question(name, A)]);
}

/** The answer to a query: `addresses` as A records, or "no such name" when undefined. */
export function encodeAnswer(query: DnsMessage, addresses: readonly string[] | undefined): Buffer {
  const answers = query.type === A ? (addresses ?? []) : [];
  const records = answers.map((address) =>
    // a pointer to the question's name, A, IN, 60 seconds, 4 bytes
    Buffer.from([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split(".").map(Number)]),
  );
  const flags = 0x8180 | (addresses === undefined ? 3 : 0);
  return Buffer.concat([header(query.id, flags, answers.length), question(query.name, query.type), ...records]);
}

/** Reads a query, or an answer of `encodeAnswer`. */
export function decode(message: Buffer): DnsMessage {
  const labels: string[] = [];
  let at = 12;
  for (let length = message[at++] ?? 0; length > 0; length = message[at++] ?? 0) {
    labels.push(message.toString("latin1", at, at + length));
    at += length;
  }
  const addresses: string[] = [];
  for (let record = at + 4; record + 16 <= message.length; record += 16)
    addresses.push([...message.subarray(record + 12, record + 16)].join("."));
  return {
    id: message.readUInt16BE(0),
    name: labels.join(".").toLowerCase(),
    type: message.readUInt16BE(at),
    code: message.readUInt16BE(2) & 15,
    addresses: message.readUInt16BE(6) === 0 ? [] : addresses,
  };
}

function header(id: number, flags: number, answers: number): Buffer {
  const bytes = Buffer.alloc(12);
  for (const [index, value] of [id, flags, 1, answers].entries()) bytes.writeUInt16BE(value, 2 * index);
  return bytes;
}

function question(name: string, type: number): Buffer {
  const labels = name
    .split(".")
    .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, "latin1")]));
  return Buffer.concat([...labels, Buffer.from([0, 0, type, 0, 1])]);
}
