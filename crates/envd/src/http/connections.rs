//! The open connections: how many there are, which are idle, and the closing of those from before a
//! resume. Their peers are gone: they would stay established for ever, and a stream among them
//! would block the process that it follows.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::Instant;

/// More connections than this are not served at the same time.
const MAX_CONNECTIONS: usize = 4096;

/// All open connections, in the order of their acceptance.
#[derive(Default)]
pub struct Connections {
    open: RefCell<BTreeMap<u64, Rc<Connection>>>,
    accepted: Cell<u64>,
    closed: Notify,
}

/// One connection, as its own task and its requests see it.
pub struct Connection {
    id: u64,
    close: Notify,
    requests: Cell<u32>,
    idle_since: Cell<Instant>,
}

impl Connections {
    /// Registers a connection that was accepted. When there are too many, the one that has been
    /// idle for longest is closed; while none is idle, this waits.
    pub async fn admit(self: &Rc<Self>) -> Admission {
        while self.open.borrow().len() >= MAX_CONNECTIONS {
            let changed = self.closed.notified();
            let open = self.open.borrow().values().cloned().collect::<Vec<_>>();
            let idle = open
                .iter()
                .filter(|connection| connection.requests.get() == 0);
            if let Some(longest) = idle.min_by_key(|connection| connection.idle_since.get()) {
                longest.close.notify_one();
            }
            changed.await;
        }
        let id = self.accepted.get();
        self.accepted.set(id + 1);
        let connection = Rc::new(Connection {
            id,
            close: Notify::new(),
            requests: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
        });
        self.open.borrow_mut().insert(id, Rc::clone(&connection));
        Admission {
            connections: Rc::clone(self),
            connection,
        }
    }

    /// Closes every connection that is open now, except `own`; returns when their sockets are closed.
    pub async fn close_others(&self, own: &Connection) {
        let others: Vec<u64> = self
            .open
            .borrow()
            .keys()
            .copied()
            .filter(|id| *id != own.id)
            .collect();
        for id in &others {
            if let Some(connection) = self.open.borrow().get(id) {
                connection.close.notify_one();
            }
        }
        loop {
            let changed = self.closed.notified();
            if !others.iter().any(|id| self.open.borrow().contains_key(id)) {
                return;
            }
            changed.await;
        }
    }
}

impl Connection {
    /// Waits until the connection shall be closed.
    pub async fn closing(&self) {
        self.close.notified().await;
    }

    /// Marks the connection as busy while the guard lives.
    pub fn request(self: &Rc<Self>) -> RequestGuard {
        self.requests.set(self.requests.get() + 1);
        RequestGuard(Rc::clone(self))
    }
}

/// A connection's place among the open ones; dropped after its socket.
pub struct Admission {
    connections: Rc<Connections>,
    pub connection: Rc<Connection>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.connections
            .open
            .borrow_mut()
            .remove(&self.connection.id);
        self.connections.closed.notify_waiters();
    }
}

/// A request that is being answered.
pub struct RequestGuard(Rc<Connection>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get() - 1);
        self.0.idle_since.set(Instant::now());
    }
}
