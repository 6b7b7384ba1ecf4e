//! Accepting connections and serving requests on them.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::connections::{Admission, RequestGuard};
use super::router;
use crate::app::App;

/// How long a connection may take for the head of its next request, idle time included: longer than
/// any client keeps one in its pool, so that the client is the one who closes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(900);
/// Bytes that a connection may hold, per direction.
const BUFFER: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;

/// Serves until the process ends.
pub async fn serve(app: Rc<App>, listener: TcpListener) {
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a peer that left early: the next accept may do.
                eprintln!("envd: Cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if !app.config.peers.accepts(peer.ip().to_canonical()) {
            continue;
        }
        let admission = app.connections.admit().await;
        tokio::task::spawn_local(serve_connection(Rc::clone(&app), socket, admission));
    }
}

async fn serve_connection(app: Rc<App>, socket: TcpStream, admission: Admission) {
    if let Err(error) = prepare(&socket) {
        eprintln!("envd: Cannot set up a connection: {error}");
        return;
    }
    let connection = Rc::clone(&admission.connection);
    let service = service_fn(|request| {
        let busy: RequestGuard = connection.request();
        let app = Rc::clone(&app);
        let connection = Rc::clone(&connection);
        async move {
            Ok::<_, std::convert::Infallible>(
                router::answer(&app, &connection, request)
                    .await
                    .map(|body| body.holding(busy)),
            )
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        _ = serving => {} // a broken connection concerns nobody but its peer
        () = connection.closing() => {}
    }
    // `serving` and with it the socket were dropped above: only now is the connection counted out.
    drop(admission);
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    // A peer that vanished is noticed within minutes also on a silent stream.
    rustix::net::sockopt::set_socket_keepalive(socket, true)?;
    rustix::net::sockopt::set_tcp_keepidle(socket, Duration::from_secs(60))?;
    rustix::net::sockopt::set_tcp_keepintvl(socket, Duration::from_secs(20))?;
    rustix::net::sockopt::set_tcp_keepcnt(socket, 6)?;
    Ok(())
}
