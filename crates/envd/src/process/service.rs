//! The calls of `process.Process`.

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::{Request, Response};

use super::follow::follow;
use super::handle::Process;
use super::messages::{
    ConnectRequest, Empty, ListResponse, ProcessInfo, ProcessInput, SelectorRequest,
    SendInputRequest, SendSignalRequest, StartRequest, StreamInputRequest, UpdateRequest,
};
use super::start::{start, winsize};
use super::usage::{Usage, measure};
use crate::app::App;
use crate::connect::stream::ClientMessages;
use crate::connect::unary::within;
use crate::connect::{Error, json, stream, unary};
use crate::http::body::Body;
use crate::http::error::HttpError;
use crate::http::router::{not_found, require_post};

/// Answers `POST /process.Process/<call>`.
pub async fn answer(
    app: &Rc<App>,
    call: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    require_post(&request)?;
    let app = Rc::clone(app);
    Ok(match call {
        "Start" => stream::serve(
            request,
            async move |call, message: StartRequest, messages| {
                let user = app.user(call.user.as_deref())?;
                // In a task of its own: a client that leaves now must not leave half a process behind.
                let starting = tokio::task::spawn_local(async move {
                    start(&app, user, message, call.deadline).await
                });
                let (life, follower) = starting
                    .await
                    .map_err(|error| Error::internal(error.to_string()))??;
                follow(life, follower, true, call.keepalive, messages).await
            },
        ),
        "Connect" => stream::serve(
            request,
            async move |call, message: ConnectRequest, messages| {
                let life = app.processes.find(&message.process)?;
                let offsets = [
                    message.stdout_offset,
                    message.stderr_offset,
                    message.pty_offset,
                ];
                let follower = life
                    .output
                    .follow(offsets.map(|offset| offset.map(|offset| offset.0)));
                within(
                    call.deadline,
                    follow(life, follower, false, call.keepalive, messages),
                )
                .await
            },
        ),
        "List" => unary::answer(request, async |_, _: Empty| list(&app).await).await,
        "SendInput" => {
            unary::answer(request, async |_, message: SendInputRequest| {
                let process = app.processes.find_live(&message.process)?;
                write(&process, message.input).await.map(|()| Empty {})
            })
            .await
        }
        "SendSignal" => {
            unary::answer(request, async |_, message: SendSignalRequest| {
                let signal = message.signal.signal()?;
                app.processes
                    .find_live(&message.process)?
                    .signal(signal)
                    .await
                    .map(|()| Empty {})
            })
            .await
        }
        "CloseStdin" => {
            unary::answer(request, async |_, message: SelectorRequest| {
                match app.processes.find_live(&message.process) {
                    Ok(process) => process.input.close_stdin().await?,
                    // One that has ended lately has no open input either.
                    Err(_) => drop(app.processes.find(&message.process)?),
                }
                Ok(Empty {})
            })
            .await
        }
        "Update" => {
            unary::answer(request, async |_, message: UpdateRequest| {
                let process = app.processes.find_live(&message.process)?;
                match message.pty.and_then(|pty| pty.size) {
                    Some(size) => process.resize(winsize(Some(size))).map(|()| Empty {}),
                    None => Ok(Empty {}),
                }
            })
            .await
        }
        "StreamInput" => stream::collect(request, async move |messages| {
            stream_input(&app, messages).await
        }),
        _ => return Err(not_found(request.method(), request.uri().path())),
    })
}

async fn list(app: &App) -> Result<ListResponse, Error> {
    let live = app.processes.live();
    let mut processes = Vec::with_capacity(live.len());
    for process in live {
        let Usage {
            cpu_usec,
            memory_bytes,
        } = measure(&process);
        processes.push(ProcessInfo {
            config: process.config.clone(),
            pid: process.life.pid,
            tag: process.life.tag.clone(),
            cpu_usec: cpu_usec.to_string(),
            memory_bytes: memory_bytes.to_string(),
        });
        tokio::task::consume_budget().await;
    }
    Ok(ListResponse { processes })
}

async fn write(process: &Process, input: ProcessInput) -> Result<(), Error> {
    match (input.stdin, input.pty) {
        (Some(bytes), _) => {
            process
                .input
                .write_stdin(&bytes.0, &process.life.ended)
                .await
        }
        (None, Some(bytes)) => process.input.write_pty(&bytes.0, &process.life.ended).await,
        (None, None) => Err(Error::invalid("input needs stdin or pty")),
    }
}

async fn stream_input(app: &App, messages: &mut ClientMessages) -> Result<(), Error> {
    let first = || Error::invalid("the first message names the process");
    let message: StreamInputRequest = json::parse(&messages.next().await?.ok_or_else(first)?)?;
    let process = app
        .processes
        .find_live(&message.start.ok_or_else(first)?.process)?;
    while let Some(message) = messages.next().await? {
        let message: StreamInputRequest = json::parse(&message)?;
        match (message.data, message.keepalive) {
            (Some(data), _) => write(&process, data.input).await?,
            (None, Some(_)) => {}
            (None, None) => {
                return Err(Error::invalid(
                    "a message after the first is data or keepalive",
                ));
            }
        }
    }
    Ok(())
}
