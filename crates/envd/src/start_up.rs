//! The start of the agent.

use std::rc::Rc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpSocket;

use crate::app::App;
use crate::config::Config;
use crate::http::server::serve;
use crate::process::spawn;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// Threads for file system calls; those on a file system that hangs are lost until it comes back.
const MAX_BLOCKING_THREADS: usize = 64;
const BLOCKING_STACK: usize = 256 * 1024;

/// Serves until the process is ended.
pub fn run(config: Config) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_stack_size(BLOCKING_STACK)
        .build()
        .map_err(|error| format!("Cannot start: {error}"))?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = listen(&config)
            .map_err(|error| format!("Cannot listen on {}: {error}", config.listen))?;
        let app = App::new(config);
        prepare_process();
        tokio::task::spawn_local(Rc::clone(&app.processes.oom_log).follow());
        serve(app, listener).await;
        Ok(())
    })
}

fn listen(config: &Config) -> std::io::Result<tokio::net::TcpListener> {
    let socket = if config.listen.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(config.listen)?;
    let listener = socket.listen(BACKLOG)?;
    // The port is printed for callers that asked for port 0.
    eprintln!("envd: listening on {}", listener.local_addr()?);
    Ok(listener)
}

/// Makes the agent the last to fail. After `App::new`, which notes the limits that processes get.
fn prepare_process() {
    // The kernel passes ignored signals on to programs; whoever started the agent may have some.
    spawn::restore_default_signals();
    let limit = getrlimit(Resource::Nofile);
    // Both need rights that only root has; without them the agent is as limited as anyone.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
}
