//! The requests of the Unix-socket API; `docs/reference/pager.md` describes them.

pub mod layers;
pub mod sessions;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::failure::{Code, Failure};
use crate::files::holes::HoleChecks;
use crate::files::roots::Roots;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::session::run::Sessions;

/// Everything that requests work on.
#[derive(Debug)]
pub struct Pager {
    /// Where files may be.
    pub roots: Arc<Roots>,
    /// Which file systems report holes exactly.
    pub holes: HoleChecks,
    /// The VMs that are served.
    pub sessions: Arc<Sessions>,
}

#[derive(Debug, Serialize)]
struct RootStatus {
    path: PathBuf,
    exact_holes: bool,
}

impl Pager {
    /// Answers one request.
    pub fn answer(&self, request: &Request) -> Response {
        self.route(request).unwrap_or_else(Response::from)
    }

    fn route(&self, request: &Request) -> Result<Response, Failure> {
        let path: Vec<&str> = request.path.split('/').skip(1).collect();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["v1", "health"]) => Ok(self.health()),
            ("POST", ["v1", "layers", "seal"]) => layers::seal(self, &parse(request)?),
            ("POST", ["v1", "layers", "diff"]) => layers::diff(self, &parse(request)?),
            ("POST", ["v1", "layers", "inject"]) => layers::inject(self, &parse(request)?),
            ("POST", ["v1", "layers", "collapse"]) => layers::collapse(self, &parse(request)?),
            ("POST", ["v1", "layers", "flatten"]) => layers::flatten(self, &parse(request)?),
            ("POST", ["v1", "layers", "verify"]) => layers::verify(self, &parse(request)?),
            ("POST", ["v1", "sessions"]) => sessions::start(self, parse(request)?),
            ("GET", ["v1", "sessions"]) => sessions::list(self, request),
            ("GET", ["v1", "sessions", id]) => sessions::get(self, id),
            ("DELETE", ["v1", "sessions", id]) => sessions::delete(self, id),
            ("POST", ["v1", "sessions", id, "working-set"]) => {
                sessions::save_working_set(self, id, &parse(request)?)
            }
            (method, _) => Err(Failure::new(
                Code::NotFound,
                format!(
                    "Cannot answer {method} {}: there is no such route",
                    request.path
                ),
            )),
        }
    }

    fn reports_holes_exactly(&self, root: &Path) -> bool {
        let directory = self.roots.directory(root);
        directory.is_ok_and(|directory| self.holes.is_exact(directory).unwrap_or(false))
    }

    fn health(&self) -> Response {
        let roots: Vec<_> = self
            .roots
            .paths()
            .map(|path| RootStatus {
                path: path.to_owned(),
                exact_holes: self.reports_holes_exactly(path),
            })
            .collect();
        Response::ok(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "roots": roots,
        }))
    }
}

fn parse<T: DeserializeOwned>(request: &Request) -> Result<T, Failure> {
    serde_json::from_slice(&request.body).map_err(|error| {
        Failure::new(
            Code::InvalidRequest,
            format!("Cannot read the request: {error}"),
        )
    })
}
