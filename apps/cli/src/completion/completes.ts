/** What a value on the command line names, so that a shell can offer those that there are. */
export type Completes = "sandbox" | "template" | "snapshot" | "team" | "key" | "member" | "file" | "command";

/** One thing that a shell can offer. */
export interface Candidate {
  word: string;
  summary: string;
}
