//! The calls of `filesystem.Filesystem`.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use serde_json::json;

use super::directories::Owner;
use super::entry::EntryInfo;
use super::listing::Listing;
use super::messages::{
    EntryResponse, ListDirRequest, MoveRequest, PathRequest, WatchDirEvent, WatchRequest,
    WatcherEvents, WatcherId,
};
use super::watch::{Watch, Watching};
use super::{change, watch};
use crate::app::App;
use crate::blocking::blocking;
use crate::connect::call::Call;
use crate::connect::stream::Messages;
use crate::connect::unary::within;
use crate::connect::{Code, Error, json, stream, unary};
use crate::http::body::{Body, Sender, media_type_is};
use crate::http::error::HttpError;
use crate::http::router::{not_found, require_post};
use crate::users::User;

/// Answers `POST /filesystem.Filesystem/<call>`.
pub async fn answer(
    app: &Rc<App>,
    call: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    require_post(&request)?;
    Ok(match call {
        "Stat" => {
            unary::answer(request, async |call, message: PathRequest| {
                stat(app, call, message).await
            })
            .await
        }
        "ListDir" => list(app, request).await,
        "MakeDir" => {
            unary::answer(request, async |call, message: PathRequest| {
                make_directory(app, call, message).await
            })
            .await
        }
        "Move" => {
            unary::answer(request, async |call, message: MoveRequest| {
                rename(app, call, message).await
            })
            .await
        }
        "Remove" => {
            unary::answer(request, async |call, message: PathRequest| {
                remove(app, call, message).await
            })
            .await
        }
        "WatchDir" => {
            let app = Rc::clone(app);
            stream::serve(
                request,
                async move |call, message: WatchRequest, messages| {
                    within(call.deadline, follow(&app, &call, message, messages)).await
                },
            )
        }
        "CreateWatcher" => {
            unary::answer(request, async |call, message: WatchRequest| {
                let watching = start_watch(app, &call, message).await?;
                Ok(WatcherId {
                    watcher_id: app.watches.keep(watching),
                })
            })
            .await
        }
        "GetWatcherEvents" => {
            unary::answer(request, async |_, message: WatcherId| {
                app.watches.catch_up();
                app.watches
                    .kept(&message.watcher_id)?
                    .drain()
                    .map(|events| WatcherEvents { events })
            })
            .await
        }
        "RemoveWatcher" => {
            unary::answer(request, async |_, message: WatcherId| {
                app.watches.forget(&message.watcher_id).map(|()| json!({}))
            })
            .await
        }
        _ => return Err(not_found(request.method(), request.uri().path())),
    })
}

fn actor(app: &App, call: &Call, path: &str) -> Result<(User, PathBuf), Error> {
    let user = app.user(call.user.as_deref())?;
    let path = app.resolve(path, &user)?;
    Ok((user, path))
}

fn owner(user: &User) -> Owner {
    Owner {
        uid: user.uid,
        gid: user.gid,
    }
}

async fn stat(app: &App, call: Call, message: PathRequest) -> Result<EntryResponse, Error> {
    let (_, path) = actor(app, &call, &message.path)?;
    describe(app, path).await
}

async fn describe(app: &App, path: PathBuf) -> Result<EntryResponse, Error> {
    let names = app.users.names();
    let described = blocking(move || {
        EntryInfo::read(&path, &names).map_err(|error| read_failed(&path, &error))
    });
    described.await.map(|entry| EntryResponse { entry })
}

async fn make_directory(
    app: &App,
    call: Call,
    message: PathRequest,
) -> Result<EntryResponse, Error> {
    let (user, path) = actor(app, &call, &message.path)?;
    let made = path.clone();
    blocking(move || change::make_directory(&made, owner(&user))).await?;
    app.watches.catch_up();
    describe(app, path).await
}

async fn rename(app: &App, call: Call, message: MoveRequest) -> Result<EntryResponse, Error> {
    let (user, source) = actor(app, &call, &message.source)?;
    let destination = app.resolve(&message.destination, &user)?;
    let moved = destination.clone();
    blocking(move || change::rename(&source, &moved, owner(&user))).await?;
    app.watches.catch_up();
    describe(app, destination).await
}

async fn remove(app: &App, call: Call, message: PathRequest) -> Result<serde_json::Value, Error> {
    let (_, path) = actor(app, &call, &message.path)?;
    blocking(move || change::remove(&path)).await?;
    app.watches.catch_up();
    Ok(json!({}))
}

/// A unary call whose answer is sent while it is made.
async fn list(app: &App, request: Request<Incoming>) -> Response<Body> {
    if !media_type_is(request.headers(), "application/json") {
        return unary::unsupported_media_type();
    }
    let listing = match open_listing(app, request).await {
        Ok(listing) => listing,
        Err(error) => return unary::error_response(&error),
    };
    let mut response = Response::new(Body::produced(async move |mut sender: Sender| {
        let mut listing = listing;
        loop {
            let (back, piece) = blocking(move || {
                let piece = listing.next_piece();
                (listing, piece)
            })
            .await;
            listing = back;
            if piece.is_empty() {
                return;
            }
            sender.send(piece.into()).await;
        }
    }));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn open_listing(app: &App, request: Request<Incoming>) -> Result<Listing, Error> {
    let (call, body) = unary::receive(request).await?;
    let message: ListDirRequest = json::parse(&body)?;
    let (_, path) = actor(app, &call, &message.path)?;
    let names = app.users.names();
    let opened = blocking(move || {
        Listing::open(&path, message.depth, names).map_err(|error| read_failed(&path, &error))
    });
    within(call.deadline, opened).await
}

fn read_failed(path: &Path, error: &io::Error) -> Error {
    Error::from_io(&format!("read '{}'", path.display()), error)
}

async fn start_watch(app: &Rc<App>, call: &Call, message: WatchRequest) -> Result<Watching, Error> {
    let (_, path) = actor(app, call, &message.path)?;
    let watch = Watch {
        path,
        recursive: message.recursive,
        include_entry: message.include_entry,
    };
    watch::check(&watch.path, message.allow_network_mounts).await?;
    app.watches.start(watch, app.users.names()).await
}

async fn follow(
    app: &Rc<App>,
    call: &Call,
    message: WatchRequest,
    messages: &mut Messages,
) -> Result<(), Error> {
    let watching = start_watch(app, call, message).await?;
    messages.send(br#"{"start":{}}"#).await;
    loop {
        let changed = watching.changed();
        let events = watching.drain()?;
        if events.is_empty() {
            if tokio::time::timeout(call.keepalive, changed).await.is_err() {
                messages.send(br#"{"keepalive":{}}"#).await;
            }
            continue;
        }
        for filesystem in events {
            let message = serde_json::to_vec(&WatchDirEvent { filesystem });
            messages
                .send(&message.map_err(|error| Error::new(Code::Internal, error.to_string()))?)
                .await;
        }
    }
}
