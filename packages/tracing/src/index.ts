export { currentTraceparent, span, startTracing, stopTracing, type SpanOptions } from "./tracing.ts";
