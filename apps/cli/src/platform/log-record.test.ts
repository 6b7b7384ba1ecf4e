import { describe, expect, it } from "vitest";
import { formatRecord, parseLogLine } from "./log-record.ts";

describe("parseLogLine()", () => {
  it("reads pino's records, with both forms of time", () => {
    expect(parseLogLine('{"level":40,"time":1000,"msg":"m","a":1}')).toEqual({ level: 40, time: 1000, msg: "m", a: 1 });
    expect(parseLogLine('{"level":30,"time":"1970-01-01T00:00:02Z","msg":"m"}').time).toBe(2_000);
  });

  it("wraps anything else with the level of its stream", () => {
    expect(parseLogLine("Error: boom", 40, 7)).toEqual({ level: 40, time: 7, msg: "Error: boom" });
    expect(parseLogLine('{"not":"a record"}', 30, 7)).toEqual({ level: 30, time: 7, msg: '{"not":"a record"}' });
    expect(parseLogLine("{broken", 30, 7).msg).toBe("{broken");
  });

  it("takes the severity out of PostgreSQL's lines", () => {
    expect(parseLogLine("2026-11-22 02:47:14.500 UTC [12] LOG:  ready", 30, 7)).toEqual({
      level: 30,
      time: 7,
      msg: "ready",
    });
    expect(parseLogLine("2026-11-22 02:47:14.500 UTC [12] FATAL:  no space", 30, 7).level).toBe(60);
  });
});

describe("formatRecord()", () => {
  it("shows level, operation, message, fields and the error's message on one line", () => {
    const record = {
      level: 50,
      time: 0,
      msg: "failed",
      operation: "create",
      pid: 1,
      ms: 1.25,
      err: { message: "why" },
    };
    expect(formatRecord(record)).toBe("error create failed ms=1.3 err=why");
  });

  it("shortens requests and answers", () => {
    const record = {
      level: 30,
      time: 0,
      msg: "m",
      req: { method: "GET", url: "/x", host: "h" },
      res: { statusCode: 200 },
    };
    expect(formatRecord(record)).toBe("m req=GET /x res=200");
  });
});
