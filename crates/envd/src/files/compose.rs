//! `POST /files/compose`: makes one file of several, which are removed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::Deserialize;
use serde_json::json;

use super::metadata::Metadata;
use super::target::Target;
use super::{resolve, user};
use crate::app::App;
use crate::blocking::blocking;
use crate::connect::json::{object, or_default};
use crate::connect::unary::json_response;
use crate::filesystem::directories::{Owner, make_parent};
use crate::http::body::{Body, read_all};
use crate::http::error::HttpError;
use crate::paths;

const MAX_BODY: usize = 1024 * 1024;

#[derive(Debug, Deserialize)]
struct Compose {
    source_paths: Vec<String>,
    destination: String,
    #[serde(default, deserialize_with = "or_default")]
    username: String,
}

/// Answers `POST /files/compose`.
pub async fn answer(
    app: &Rc<App>,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    let body = read_all(request.into_body(), MAX_BODY)
        .await
        .map_err(|error| HttpError::from_read(error, MAX_BODY))?;
    let compose: Compose = object(&body)
        .map_err(|error| HttpError::bad_request(format!("Cannot read the body: {error}")))?;
    if compose.source_paths.is_empty() {
        return Err(HttpError::bad_request("source_paths is empty"));
    }
    let user = user(
        app,
        Some(compose.username.as_str()).filter(|name| !name.is_empty()),
    )?;
    let sources = compose
        .source_paths
        .iter()
        .map(|path| resolve(app, path, &user))
        .collect::<Result<Vec<_>, _>>()?;
    let destination = resolve(app, &compose.destination, &user)?;
    let owner = Owner {
        uid: user.uid,
        gid: user.gid,
    };
    let target = destination.clone();
    blocking(move || concatenate(&sources, &target, owner)).await?;
    app.watches.catch_up();
    let description = json!({ "name": paths::name(&destination), "path": destination.to_string_lossy(), "type": "file" });
    Ok(json_response(200, description.to_string().into()))
}

/// The sources are removed only when all of the target is written. Blocks.
fn concatenate(sources: &[PathBuf], destination: &Path, owner: Owner) -> Result<(), HttpError> {
    let mut opened = Vec::with_capacity(sources.len());
    let mut total = 0;
    let existing = fs::metadata(destination)
        .ok()
        .map(|metadata| (metadata.dev(), metadata.ino()));
    for source in sources {
        let failed =
            |error: io::Error| HttpError::from_io(&format!("read '{}'", source.display()), &error);
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(source)
            .map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(HttpError::bad_request(format!(
                "Cannot read '{}': it is not a regular file",
                source.display()
            )));
        }
        if existing == Some((metadata.dev(), metadata.ino())) {
            return Err(HttpError::bad_request(format!(
                "'{}' is both source and destination",
                source.display()
            )));
        }
        total += metadata.len();
        opened.push(file);
    }
    write(opened, destination, owner, total).map_err(|error| {
        HttpError::from_io(&format!("write '{}'", destination.display()), &error)
    })?;
    for source in sources {
        match fs::remove_file(source) {
            // Named twice.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(HttpError::from_io(
                    &format!("remove '{}'", source.display()),
                    &error,
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn write(sources: Vec<File>, destination: &Path, owner: Owner, total: u64) -> io::Result<()> {
    make_parent(destination, owner)?;
    let mut target = Target::open(destination, owner, Some(total))?;
    for mut source in sources {
        target.append(&mut source)?;
    }
    target.keep(&Metadata::new())
}
