//! Which route answers a request, and the rules that hold for all of them.

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use super::body::Body;
use super::connections::Connection;
use super::error::HttpError;
use super::{access, cors};
use crate::app::App;
use crate::connect::unary::json_response;
use crate::{files, filesystem, freeze, init, metrics, process};

/// Answers one request.
pub async fn answer(
    app: &Rc<App>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<Body> {
    let cross_origin = request.headers().contains_key("origin");
    let mut response = match route(app, connection, request).await {
        Ok(response) => response,
        Err(error) => error.response(),
    };
    if cross_origin {
        cors::allow(response.headers_mut());
    }
    response
}

async fn route(
    app: &Rc<App>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    if method == Method::OPTIONS {
        return Ok(cors::preflight(request.headers()));
    }
    // Routes with a rule of their own about who may ask.
    match (&method, path.as_str()) {
        (&Method::GET | &Method::HEAD, "/health") => return Ok(health()),
        (&Method::GET | &Method::HEAD, "/files") => {
            return files::download::answer(app, request).await;
        }
        (&Method::POST, "/files") => return Ok(files::upload::answer(app, request).await),
        (&Method::POST, "/init") => return init::answer(app, connection, request).await,
        _ => {}
    }
    check_token(app, request.headers())?;
    if let Some(call) = path.strip_prefix("/process.Process/") {
        return process::service::answer(app, call, request).await;
    }
    if let Some(call) = path.strip_prefix("/filesystem.Filesystem/") {
        return filesystem::service::answer(app, call, request).await;
    }
    match (&method, path.as_str()) {
        (&Method::GET, "/metrics") => metrics::answer(app).await,
        (&Method::GET, "/envs") => Ok(environment(app)),
        (&Method::POST, "/files/compose") => files::compose::answer(app, request).await,
        (&Method::POST, "/fsfreeze") => freeze::freeze(app).await,
        (&Method::POST, "/fsthaw") => freeze::thaw(app),
        _ => Err(not_found(&method, &path)),
    }
}

fn check_token(app: &App, headers: &HeaderMap) -> Result<(), HttpError> {
    access::check_token(headers, app.settings.borrow().access_token.as_deref())
}

/// The refusal of a path or method that does not exist.
pub fn not_found(method: &Method, path: &str) -> HttpError {
    HttpError::new(404, format!("there is no route {method} {path}"))
}

/// Refuses methods other than POST for a Connect call.
pub fn require_post(request: &Request<Incoming>) -> Result<(), HttpError> {
    if request.method() == Method::POST {
        return Ok(());
    }
    Err(HttpError::new(
        405,
        format!("{} is called with POST", request.uri().path()),
    ))
}

fn health() -> Response<Body> {
    let mut response = no_content();
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The environment that processes get unless their start says otherwise.
fn environment(app: &App) -> Response<Body> {
    json_response(
        200,
        serde_json::json!(app.settings.borrow().environment)
            .to_string()
            .into(),
    )
}

/// A 204.
pub fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
