export { ERROR_CATALOGUE, isErrorCode, type ErrorCode } from "./catalogue.ts";
export { WrennError, type ErrorBody, type WrennErrorOptions } from "./wrenn-error.ts";
