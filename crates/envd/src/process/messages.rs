//! The messages of `process.Process`, see packages/protocol/proto/process/process.proto.

use std::collections::BTreeMap;

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::end::End;
use super::follower::{Chunk, Follower, PIPE_CHUNK, PTY_CHUNK};
use super::output::{KINDS, Kind};
use super::signal::SignalName;
use crate::connect::frame;
use crate::connect::json::{Base64Bytes, Uint64, or_default};

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ProcessConfig {
    #[serde(deserialize_with = "or_default")]
    pub cmd: String,
    #[serde(deserialize_with = "or_default")]
    pub args: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub envs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct PtySize {
    #[serde(deserialize_with = "or_default")]
    pub cols: u32,
    #[serde(deserialize_with = "or_default")]
    pub rows: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pty {
    pub size: Option<PtySize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StartRequest {
    #[serde(deserialize_with = "or_default")]
    pub process: ProcessConfig,
    pub pty: Option<Pty>,
    pub tag: Option<String>,
    pub stdin: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Selector {
    pub pid: Option<u32>,
    pub tag: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConnectRequest {
    #[serde(deserialize_with = "or_default")]
    pub process: Selector,
    #[serde(alias = "stdout_offset")]
    pub stdout_offset: Option<Uint64>,
    #[serde(alias = "stderr_offset")]
    pub stderr_offset: Option<Uint64>,
    #[serde(alias = "pty_offset")]
    pub pty_offset: Option<Uint64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct UpdateRequest {
    #[serde(deserialize_with = "or_default")]
    pub process: Selector,
    pub pty: Option<Pty>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProcessInput {
    pub stdin: Option<Base64Bytes>,
    pub pty: Option<Base64Bytes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SendInputRequest {
    #[serde(deserialize_with = "or_default")]
    pub process: Selector,
    #[serde(deserialize_with = "or_default")]
    pub input: ProcessInput,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StreamInputRequest {
    pub start: Option<StreamInputStart>,
    pub data: Option<StreamInputData>,
    pub keepalive: Option<Empty>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StreamInputStart {
    #[serde(deserialize_with = "or_default")]
    pub process: Selector,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StreamInputData {
    #[serde(deserialize_with = "or_default")]
    pub input: ProcessInput,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SendSignalRequest {
    #[serde(deserialize_with = "or_default")]
    pub process: Selector,
    #[serde(deserialize_with = "or_default")]
    pub signal: SignalName,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SelectorRequest {
    #[serde(deserialize_with = "or_default")]
    pub process: Selector,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Empty {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessInfo {
    pub config: ProcessConfig,
    pub pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Proto-JSON writes 64-bit integers as strings.
    pub cpu_usec: String,
    pub memory_bytes: String,
}

#[derive(Debug, Serialize)]
pub struct ListResponse {
    pub processes: Vec<ProcessInfo>,
}

/// The envelope of a `start` event.
pub fn start_frame(pid: u32) -> Bytes {
    frame::encode(
        0,
        json!({ "event": { "start": { "pid": pid } } })
            .to_string()
            .as_bytes(),
    )
}

/// The envelope of a `keepalive` event.
pub fn keepalive_frame() -> Bytes {
    frame::encode(0, br#"{"event":{"keepalive":{}}}"#)
}

/// How many bytes of output go into one piece of the stream, some envelopes together.
const PIECE: usize = 4 * PIPE_CHUNK;

/// Envelopes of `data` events with what is there to be taken; `None` when that is nothing. Written
/// without a detour: this is where output's speed is decided.
pub fn data_frames(follower: &Follower) -> Option<Bytes> {
    let mut rest = follower.waiting().min(PIECE);
    if rest == 0 {
        return None;
    }
    let envelopes = KINDS.len() + rest / PTY_CHUNK;
    let mut frames = Vec::with_capacity(STANDARD.encoded_length(rest) + 96 * envelopes);
    while rest > 0 {
        let taken = follower.take(|chunk| {
            put_data_frame(&mut frames, chunk);
            chunk.bytes.len()
        });
        rest = rest.saturating_sub(taken.unwrap_or(rest));
    }
    Some(frames.into())
}

fn put_data_frame(frames: &mut Vec<u8>, chunk: &Chunk) {
    let name = match chunk.kind {
        Kind::Stdout => "stdout",
        Kind::Stderr => "stderr",
        Kind::Pty => "pty",
    };
    let before = format!(r#"{{"event":{{"data":{{"{name}":""#);
    let after = format!(r#"","offset":"{}"}}}}}}"#, chunk.offset);
    let length = before.len() + STANDARD.encoded_length(chunk.bytes.len()) + after.len();
    frame::put_header(frames, 0, length);
    frames.extend_from_slice(before.as_bytes());
    STANDARD.encode_append(chunk.bytes, frames);
    frames.extend_from_slice(after.as_bytes());
}

/// The envelope of an `end` event.
pub fn end_frame(end: &End) -> Bytes {
    let mut event = json!({ "exited": end.exited, "status": end.status });
    if end.exit_code != 0 {
        event["exitCode"] = end.exit_code.into();
    }
    if let Some(error) = &end.error {
        event["error"] = error.as_str().into();
    }
    if end.oom {
        event["oom"] = true.into();
    }
    frame::encode(
        0,
        json!({ "event": { "end": event } }).to_string().as_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::json::parse;

    #[test]
    fn reads_what_the_sdks_send() {
        let request: StartRequest =
            parse(br#"{"process":{"cmd":"/bin/bash","args":["-l"],"envs":{"A":"b"},"cwd":"/tmp","x":1},"stdin":false,"pty":null}"#)
                .expect("valid");
        assert_eq!(
            (
                request.process.cmd.as_str(),
                request.stdin,
                request.pty.is_none()
            ),
            ("/bin/bash", Some(false), true)
        );
        let request: ConnectRequest =
            parse(br#"{"process":{"tag":"t"},"stdoutOffset":"12","pty_offset":3}"#).expect("valid");
        assert_eq!(
            (request.stdout_offset, request.pty_offset),
            (Some(Uint64(12)), Some(Uint64(3)))
        );
        let request: SendSignalRequest = parse(br#"{"process":null}"#).expect("nulls are defaults");
        assert_eq!(request.signal, SignalName::Unspecified);
    }

    #[test]
    fn writes_data_events() {
        let mut frame = Vec::new();
        put_data_frame(
            &mut frame,
            &Chunk {
                kind: Kind::Stdout,
                offset: 7,
                bytes: b"hi\n",
            },
        );
        assert_eq!(
            &frame[5..],
            br#"{"event":{"data":{"stdout":"aGkK","offset":"7"}}}"#
        );
        assert_eq!(frame[4] as usize, frame.len() - 5);
    }
}
