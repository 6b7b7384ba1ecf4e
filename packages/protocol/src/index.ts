export * as hostagent from "./gen/hostagent/v1/host_agent_pb.js";
export * as envdProcess from "./gen/process/process_pb.js";
export * as envdFilesystem from "./gen/filesystem/filesystem_pb.js";
