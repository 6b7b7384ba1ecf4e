//! Cross-origin access for browsers: any origin, since the access token is what protects.

use hyper::header::HeaderValue;
use hyper::{HeaderMap, Response, StatusCode};

use super::body::Body;

const EXPOSED: &str = "Location, Cache-Control, X-Content-Type-Options, Connect-Content-Encoding, \
Connect-Protocol-Version, Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, Content-Disposition, ETag, Last-Modified";

/// Marks an answer as readable for scripts of any origin.
pub fn allow(headers: &mut HeaderMap) {
    headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
    headers.insert(
        "access-control-expose-headers",
        HeaderValue::from_static(EXPOSED),
    );
}

/// The answer to a preflight request.
pub fn preflight(request: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(
        "access-control-allow-methods",
        HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE"),
    );
    // `*` does not stand for Authorization: name what was asked for.
    let asked = request.get("access-control-request-headers").cloned();
    headers.insert(
        "access-control-allow-headers",
        asked.unwrap_or(HeaderValue::from_static("*")),
    );
    headers.insert("access-control-max-age", HeaderValue::from_static("7200"));
    response
}
