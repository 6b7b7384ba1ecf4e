/** Identifiers: a prefix that tells the kind, and 20 characters of 0-9a-z (103 random bits). */
import { randomFillSync } from "node:crypto";

const ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz";
const LENGTH = 20;
/** Bytes from here up are dropped, so that every character is equally likely. */
const BYTE_LIMIT = 256 - (256 % ALPHABET.length);

export type IdPrefix =
  | "usr_"
  | "team_"
  | "inv_"
  | "key_"
  | "host_"
  | "tpl_"
  | "bld_"
  | "snap_"
  | "hook_"
  | "req_"
  | "sb";

/** Random bytes are asked for in advance: every request has an id, and asking costs more than the bytes. */
const POOL = new Uint8Array(4_096);
let used = POOL.length;

function randomByte(): number {
  if (used === POOL.length) {
    randomFillSync(POOL);
    used = 0;
  }
  return POOL[used++] as number;
}

/** A new identifier. Sandboxes have no underscore: their ids are part of host names. */
export function newId(prefix: IdPrefix): string {
  let characters = "";
  while (characters.length < LENGTH) {
    const byte = randomByte();
    if (byte < BYTE_LIMIT) characters += ALPHABET[byte % ALPHABET.length];
  }
  return prefix + characters;
}
