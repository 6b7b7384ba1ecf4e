//! Requests about sessions.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::Pager;
use crate::failure::Failure;
use crate::files::new_file::{Existing, NewFile, publish};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::session::descriptor::Spec;
use crate::session::run::not_served;
use crate::session::tracker::Tracker;
use crate::session::working_set;

/// Longest wait for news.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How long a killed VMM may take to be gone.
const DELETE_TIMEOUT: Duration = Duration::from_secs(10);

/// `POST /v1/sessions/{id}/working-set`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkingSetRequest {
    path: PathBuf,
    #[serde(default = "super::layers::yes")]
    durable: bool,
}

/// Makes a session.
pub fn start(pager: &Pager, spec: Spec) -> Result<Response, Failure> {
    let id = spec.id.clone();
    pager.sessions.start(spec)?;
    Ok(Response::json(201, &pager.sessions.registry.status(&id)?))
}

/// All sessions, at once or when something has changed (`?after=REVISION&wait_ms=N`).
pub fn list(pager: &Pager, request: &Request) -> Result<Response, Failure> {
    let after = request.number("after")?.unwrap_or(0);
    let wait = Duration::from_millis(request.number("wait_ms")?.unwrap_or(0)).min(MAX_WAIT);
    let (revision, sessions) = pager.sessions.registry.all(after, wait);
    Ok(Response::ok(
        &json!({ "revision": revision, "sessions": sessions }),
    ))
}

/// One session.
pub fn get(pager: &Pager, id: &str) -> Result<Response, Failure> {
    Ok(Response::ok(&pager.sessions.registry.status(id)?))
}

/// Writes the pages that were asked for so far, in order, and what else of the given set is kept.
pub fn save_working_set(
    pager: &Pager,
    id: &str,
    request: &WorkingSetRequest,
) -> Result<Response, Failure> {
    let session = pager.sessions.registry.get(id)?;
    let tracker = session.tracker.ok_or_else(|| not_served(id))?;
    let given = session.working_set.as_ref().map_or_else(Vec::new, |path| {
        working_set::read(&pager.roots, path, tracker.size(), id)
    });
    let extents = working_set::merge(tracker.touches(), &given);
    let new = NewFile::create(&pager.roots, &request.path)?;
    std::io::Write::write_all(&mut new.file(), &working_set::encode(&extents))
        .map_err(|error| new.failed(error))?;
    publish(vec![new], Existing::Replace, request.durable)?;
    let bytes: u64 = extents.iter().map(|extent| extent.length).sum();
    Ok(Response::ok(
        &json!({ "extents": extents.len(), "bytes": bytes }),
    ))
}

/// Ends a session, and its VM if it is still there.
pub fn delete(pager: &Pager, id: &str) -> Result<Response, Failure> {
    pager.sessions.registry.remove(id, DELETE_TIMEOUT)?;
    Ok(Response::empty())
}

/// The pages of a session that serves or served.
pub fn tracker(pager: &Pager, id: &str) -> Result<Arc<Tracker>, Failure> {
    let session = pager.sessions.registry.get(id)?;
    session.tracker.ok_or_else(|| not_served(id))
}
