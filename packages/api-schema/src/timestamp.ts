import { Type, type TString } from "typebox";

/** A time of the API. */
export function Timestamp(description: string): TString {
  return Type.String({ format: "date-time", description: `${description} RFC 3339, UTC, microseconds.` });
}
