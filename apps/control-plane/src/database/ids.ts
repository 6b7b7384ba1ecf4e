/** Identifiers: a prefix that tells the kind, and 20 characters of 0-9a-z (103 random bits). */
import { randomBytes } from "node:crypto";

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

/** A new identifier. Sandboxes have no underscore: their ids are part of host names. */
export function newId(prefix: IdPrefix): string {
  let characters = "";
  while (characters.length < LENGTH) {
    for (const byte of randomBytes(LENGTH)) {
      if (byte < BYTE_LIMIT && characters.length < LENGTH) characters += ALPHABET[byte % ALPHABET.length];
    }
  }
  return prefix + characters;
}
