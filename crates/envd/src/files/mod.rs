//! `/files`: contents of files over plain HTTP.

pub mod compose;
pub mod conditions;
pub mod content_type;
pub mod download;
pub mod encoding;
pub mod metadata;
pub mod multipart;
pub mod range;
pub mod signature;
pub mod target;
pub mod upload;
pub mod writer;

use std::path::PathBuf;

use hyper::HeaderMap;

use crate::app::App;
use crate::connect::Code;
use crate::http::error::HttpError;
use crate::http::query::Query;
use crate::users::User;

/// Checks who asks for `/files` and finds the user whose files are meant.
fn authorize(
    app: &App,
    headers: &HeaderMap,
    query: &Query,
    operation: signature::Operation,
) -> Result<User, HttpError> {
    signature::check(
        app.settings.borrow().access_token.as_deref(),
        headers,
        query,
        operation,
    )?;
    user(app, query.non_empty("username"))
}

/// The user called `name`, or the default one.
fn user(app: &App, name: Option<&str>) -> Result<User, HttpError> {
    app.user(name)
        .map_err(|error| HttpError::new(401, error.message))
}

/// The file that `path` names for `user`.
fn resolve(app: &App, path: &str, user: &User) -> Result<PathBuf, HttpError> {
    app.resolve(path, user).map_err(|error| match error.code {
        Code::InvalidArgument => HttpError::bad_request(error.message),
        _ => HttpError::new(500, error.message),
    })
}
