//! The messages of `filesystem.Filesystem`, see packages/protocol/proto/filesystem/filesystem.proto.

use serde::{Deserialize, Serialize};

use super::entry::EntryInfo;
use crate::connect::json::or_default;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PathRequest {
    #[serde(deserialize_with = "or_default")]
    pub path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MoveRequest {
    #[serde(deserialize_with = "or_default")]
    pub source: String,
    #[serde(deserialize_with = "or_default")]
    pub destination: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListDirRequest {
    #[serde(deserialize_with = "or_default")]
    pub path: String,
    #[serde(deserialize_with = "or_default")]
    pub depth: u32,
}

#[derive(Debug, Serialize)]
pub struct EntryResponse {
    pub entry: EntryInfo,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WatchRequest {
    #[serde(deserialize_with = "or_default")]
    pub path: String,
    #[serde(deserialize_with = "or_default")]
    pub recursive: bool,
    #[serde(deserialize_with = "or_default", alias = "include_entry")]
    pub include_entry: bool,
    #[serde(deserialize_with = "or_default", alias = "allow_network_mounts")]
    pub allow_network_mounts: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WatcherId {
    #[serde(deserialize_with = "or_default", alias = "watcher_id")]
    pub watcher_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum EventType {
    #[serde(rename = "EVENT_TYPE_CREATE")]
    Create,
    #[serde(rename = "EVENT_TYPE_WRITE")]
    Write,
    #[serde(rename = "EVENT_TYPE_REMOVE")]
    Remove,
    #[serde(rename = "EVENT_TYPE_RENAME")]
    Rename,
    #[serde(rename = "EVENT_TYPE_CHMOD")]
    Chmod,
}

#[derive(Debug, Clone, Serialize)]
pub struct FilesystemEvent {
    pub name: String,
    pub r#type: EventType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<Box<EntryInfo>>,
}

#[derive(Debug, Serialize)]
pub struct WatchDirEvent {
    pub filesystem: FilesystemEvent,
}

#[derive(Debug, Serialize)]
pub struct WatcherEvents {
    pub events: Vec<FilesystemEvent>,
}
