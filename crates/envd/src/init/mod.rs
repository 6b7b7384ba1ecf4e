//! `POST /init`, the guest hook: what has to be true before a sandbox counts as running, after its
//! creation and after each resume. It is answered when all of it is done.

mod entropy;
mod identity;

use std::collections::BTreeMap;
use std::rc::Rc;

use hyper::body::Incoming;
use hyper::{Request, Response};
use rustix::time::{ClockId, Timespec};
use serde::Deserialize;

use crate::app::App;
use crate::blocking::blocking;
use crate::connect::json::{Base64Bytes, object, or_default};
use crate::http::body::{Body, read_all};
use crate::http::connections::Connection;
use crate::http::error::HttpError;
use crate::http::router::no_content;
use crate::process::command::check_environment;
use crate::timestamp::Timestamp;

const MAX_BODY: usize = 1024 * 1024;

/// The body. Absent fields leave things as they are; unknown ones are skipped.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Init {
    /// RFC 3339, up to nanoseconds: the wall clock.
    timestamp: Option<String>,
    entropy: Option<Base64Bytes>,
    hostname: Option<String>,
    /// 32 hexadecimal digits.
    machine_id: Option<String>,
    access_token: Option<String>,
    /// Replaces the environment of processes as a whole.
    env_vars: Option<BTreeMap<String, String>>,
    default_user: Option<String>,
    default_workdir: Option<String>,
    #[serde(rename = "lifecycleID")]
    lifecycle_id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    sandbox_id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    template_id: Option<String>,
}

/// Reads a body for nothing but its being read.
pub fn parse_any(body: &[u8]) {
    drop(object::<Init>(body));
}

/// Answers `POST /init`. Only the gateway can connect at all (see `http::access`).
pub async fn answer(
    app: &Rc<App>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    let body = read_all(request.into_body(), MAX_BODY)
        .await
        .map_err(|error| HttpError::from_read(error, MAX_BODY))?;
    let init: Init = if body.is_empty() {
        Init::default()
    } else {
        object(&body)
            .map_err(|error| HttpError::bad_request(format!("Cannot read the body: {error}")))?
    };
    // A snapshot may have been taken of a frozen file system; nothing below could write to it.
    app.freezer
        .thaw()
        .map_err(|error| HttpError::from_io("thaw the file system", &error))?;
    apply(app, init).await?;
    app.connections.close_others(connection).await;
    Ok(no_content())
}

async fn apply(app: &App, init: Init) -> Result<(), HttpError> {
    check_incarnation(app, &init)?;
    let time = match &init.timestamp {
        Some(text) => Some(Timestamp::parse(text).ok_or_else(|| {
            HttpError::bad_request(format!("timestamp '{text}' is not RFC 3339"))
        })?),
        None => None,
    };
    identity::check(init.hostname.as_deref(), init.machine_id.as_deref())?;
    entropy::check(init.entropy.as_ref())?;
    check_settings(&init)?;

    // The clock first: what follows writes files.
    if let Some(time) = time {
        let time = Timespec {
            tv_sec: time.seconds,
            tv_nsec: time.nanoseconds.into(),
        };
        rustix::time::clock_settime(ClockId::Realtime, time)
            .map_err(|error| HttpError::from_io("set the clock", &error.into()))?;
    }
    if let Some(entropy) = &init.entropy {
        entropy::credit(&entropy.0).map_err(|error| HttpError::from_io("add entropy", &error))?;
    }
    let (hostname, machine_id) = (init.hostname.clone(), init.machine_id.clone());
    let platform = apply_settings(app, init);
    blocking(move || {
        if let Some(hostname) = &hostname {
            identity::set_hostname(hostname)?;
        }
        if let Some(machine_id) = &machine_id {
            identity::set_machine_id(machine_id)?;
        }
        identity::publish(&platform).map_err(|error| HttpError::from_io("write /run/e2b", &error))
    })
    .await
}

/// Within one incarnation the token stays; only a new one may bring another.
fn check_incarnation(app: &App, init: &Init) -> Result<(), HttpError> {
    let settings = app.settings.borrow();
    let same = init.lifecycle_id.is_some() && init.lifecycle_id == settings.lifecycle_id;
    let other_token = init.access_token.is_some()
        && settings.access_token.is_some()
        && init.access_token != settings.access_token;
    if same && other_token {
        return Err(HttpError::new(
            409,
            "the access token of this incarnation is already set",
        ));
    }
    Ok(())
}

/// Refuses what would make every later request fail.
fn check_settings(init: &Init) -> Result<(), HttpError> {
    if let Some(token) = &init.access_token
        && !token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(HttpError::bad_request(
            "accessToken has characters that no header can carry",
        ));
    }
    if let Some(directory) = &init.default_workdir
        && !(directory.is_empty() || directory.starts_with('/') && !directory.contains('\0'))
    {
        return Err(HttpError::bad_request(format!(
            "defaultWorkdir '{}' is not an absolute path",
            directory.escape_debug()
        )));
    }
    init.env_vars
        .as_ref()
        .map_or(Ok(()), check_environment)
        .map_err(|error| HttpError::bad_request(error.message))
}

/// Answers the variables that tell a process where it runs.
fn apply_settings(app: &App, init: Init) -> BTreeMap<String, String> {
    let mut settings = app.settings.borrow_mut();
    let replace = |target: &mut Option<String>, value: Option<String>| {
        if let Some(value) = value {
            *target = Some(value).filter(|value| !value.is_empty());
        }
    };
    replace(&mut settings.access_token, init.access_token);
    replace(&mut settings.default_user, init.default_user);
    replace(&mut settings.lifecycle_id, init.lifecycle_id);
    if let Some(environment) = init.env_vars {
        settings.environment = environment;
    }
    if let Some(directory) = init.default_workdir {
        settings.default_directory = Some(directory)
            .filter(|directory| !directory.is_empty())
            .map(Into::into);
    }
    for (variable, value) in [
        ("E2B_SANDBOX_ID", init.sandbox_id),
        ("E2B_TEMPLATE_ID", init.template_id),
    ] {
        if let Some(value) = value {
            settings
                .platform_environment
                .insert(variable.to_owned(), value);
        }
    }
    settings.platform_environment.clone()
}
