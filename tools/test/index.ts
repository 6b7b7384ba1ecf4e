export { runTests, type TestOptions } from "./run-tests.ts";
