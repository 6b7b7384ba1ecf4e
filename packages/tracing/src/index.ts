export { currentTraceparent, isTracing, span, startTracing, stopTracing, type SpanOptions } from "./tracing.ts";
