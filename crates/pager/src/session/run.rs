//! The life of a session: from its socket, or from what another pager left, to the VMM's end.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::descriptor::{Descriptor, RunDirectory, Spec};
use super::end::End;
use super::handshake;
use super::io_pool::{IoPool, Mailbox};
use super::layout::Layout;
use super::listener::{VmmListener, check_id};
use super::peer::Peer;
use super::registry::{Registry, Session, State};
use super::replay::Replay;
use super::serve::Server;
use super::stats::{Stats, add};
use super::tracker::Tracker;
use super::uffd::Uffd;
use super::working_set;
use crate::failure::{Code, Failure};
use crate::files::roots::Roots;
use crate::layer::chain::Chain;
use crate::layer::mapping::Holder;

const STACK_BYTES: usize = 256 << 10;
/// A hole from this length on is given back to the kernel, as far as it covers such blocks of the
/// VMM's addresses: there it can use huge pages.
pub(super) const HOLE_BYTES: u64 = 2 << 20;
/// Every hole splits the VMM's mapping, of which it may have 65,530.
const MAX_HOLES: usize = 512;
/// A killed VMM is gone after this, or the kernel is in trouble.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// What sessions share.
#[derive(Debug)]
pub struct Sessions {
    /// All of them.
    pub registry: Registry,
    roots: Arc<Roots>,
    run_directory: RunDirectory,
    pool: Arc<IoPool>,
}

/// What a thread works with.
struct Work {
    spec: Spec,
    chain: Chain,
    replay: Option<Replay>,
    stats: Arc<Stats>,
    mailbox: Arc<Mailbox>,
}

thread_local! {
    /// The VMM that this thread serves.
    static SERVED: RefCell<Option<Arc<Peer>>> = const { RefCell::new(None) };
}

/// Kills the VM that the panicking thread serves: the next pager would panic over it again.
pub fn kill_served_vm() {
    SERVED.with_borrow(|peer| {
        if let Some(peer) = peer {
            peer.kill();
        }
    });
}

impl Sessions {
    /// None yet.
    pub fn new(roots: Arc<Roots>, run_directory: RunDirectory) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            registry: Registry::default(),
            roots,
            run_directory,
            pool: IoPool::start()?,
        }))
    }

    /// Makes a session: when this returns, the VMM may connect.
    pub fn start(self: &Arc<Self>, spec: Spec) -> Result<(), Failure> {
        check_id(&spec.id)?;
        let work = self.prepare(spec)?;
        let session = work.session(State::Listening);
        let id = work.spec.id.clone();
        self.registry.add(&id, session)?;
        let listener =
            VmmListener::bind(&self.roots, &work.spec.socket, work.spec.uid, work.spec.gid);
        let started = listener
            .and_then(|listener| self.spawn(&id, move |sessions| sessions.listen(work, listener)));
        started.inspect_err(|failure| {
            self.registry.end(&id, End::Failed(failure.message.clone()));
            let _ = self.registry.remove(&id, Duration::ZERO);
        })
    }

    /// Continues every session that an earlier pager left in the run directory.
    pub fn take_over(self: &Arc<Self>) -> io::Result<()> {
        for found in self.run_directory.sessions()? {
            match found {
                Ok(descriptor) => self.resume(descriptor),
                Err((id, why)) => {
                    let reason = format!("Cannot take session {id} over: {why}");
                    self.add_ended(&id, End::Failed(reason));
                }
            }
        }
        Ok(())
    }

    fn resume(self: &Arc<Self>, descriptor: Descriptor) {
        let id = descriptor.spec.id.clone();
        let Ok(peer) = Peer::find(descriptor.pid, descriptor.started) else {
            self.add_ended(&id, End::Exited);
            return;
        };
        let peer = Arc::new(peer);
        let resumed = self
            .reopen(&descriptor, &peer)
            .map_err(|failure| failure.message)
            .and_then(|(mut server, session)| {
                self.registry
                    .add(&id, session)
                    .map_err(|failure| failure.message)?;
                self.spawn(&id, move |sessions| {
                    sessions.serve(&descriptor.spec.id, &mut server)
                })
                .map_err(|failure| failure.message)
            });
        if let Err(reason) = resumed {
            peer.kill();
            self.add_ended(&id, End::Failed(reason));
        }
    }

    /// Takes the VMM's copy of the userfaultfd. Faults that the dead pager had read are told again
    /// by waking everybody: who still misses a page faults anew.
    fn reopen(
        &self,
        descriptor: &Descriptor,
        peer: &Arc<Peer>,
    ) -> Result<(Server, Session), Failure> {
        let id = &descriptor.spec.id;
        let failed = |error: io::Error| Failure::io(format_args!("take session {id} over"), error);
        let number = descriptor
            .uffd
            .ok_or_else(|| failed(io::Error::other("the VMM keeps no userfaultfd")))?;
        let uffd = peer.take(number).and_then(Uffd::new).map_err(failed)?;
        let work = self.prepare(descriptor.spec.clone())?;
        let size = work.chain.mapping().size();
        let layout = Layout::new(descriptor.regions.clone(), size)
            .map_err(|why| failed(io::Error::other(why.to_string())))?;
        let pages = self.run_directory.open_pages(id).map_err(failed)?;
        let tracker = Arc::new(Tracker::open(&pages, size).map_err(failed)?);
        add(&work.stats.takeovers, 1);
        for region in layout.regions() {
            uffd.wake(region.address, region.size).map_err(failed)?;
        }
        let session = Session {
            tracker: Some(Arc::clone(&tracker)),
            ..work.session(State::Serving { pid: peer.pid() })
        };
        let server = work.server(Arc::clone(peer), uffd, layout, tracker, &self.pool);
        Ok((server, session))
    }

    fn add_ended(&self, id: &str, end: End) {
        self.run_directory.remove(id);
        let Ok(mailbox) = Mailbox::new() else { return };
        let session = Session {
            state: State::Listening,
            stats: Arc::default(),
            mailbox: Arc::new(mailbox),
            tracker: None,
            working_set: None,
        };
        // A session that could not start after it was added is there already.
        let _ = self.registry.add(id, session);
        self.registry.end(id, end);
    }

    fn spawn(
        self: &Arc<Self>,
        id: &str,
        work: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> Result<(), Failure> {
        let sessions = Arc::clone(self);
        thread::Builder::new()
            .name(format!("vm {id}"))
            .stack_size(STACK_BYTES)
            .spawn(move || work(&sessions))
            .map(drop)
            .map_err(|error| Failure::io(format_args!("start a thread for session {id}"), error))
    }

    /// Opens everything that the session needs, so that what is missing is told before a VM waits.
    fn prepare(&self, spec: Spec) -> Result<Work, Failure> {
        let (_, chain) = spec.layers.open(&self.roots)?;
        let chain = chain
            .without_holes()
            .map_err(|error| Failure::io("read the layers", error))?;
        let size = chain.mapping().size();
        let replay = spec
            .working_set
            .as_ref()
            .map(|path| Replay::new(working_set::read(&self.roots, path, size, &spec.id)));
        let mailbox = Mailbox::new().map_err(|error| Failure::io("make an eventfd", error))?;
        Ok(Work {
            spec,
            chain,
            replay,
            stats: Arc::default(),
            mailbox: Arc::new(mailbox),
        })
    }

    fn listen(&self, work: Work, listener: VmmListener) {
        let id = work.spec.id.clone();
        let mailbox = Arc::clone(&work.mailbox);
        match self.connect(work, listener) {
            Ok(mut server) => self.serve(&id, &mut server),
            Err(_) if mailbox.stopped() => self.finish(&id, None, End::Exited),
            Err(reason) => self.finish(&id, None, End::Failed(reason)),
        }
    }

    /// Waits for the VMM and takes its memory. Whoever connected and cannot be served is killed.
    fn connect(&self, work: Work, listener: VmmListener) -> Result<Server, String> {
        let timeout = Duration::from_millis(work.spec.connect_timeout_ms);
        let stream = listener
            .accept(&work.mailbox, timeout)
            .map_err(|error| format!("Cannot accept the VMM: {error}"))?
            .ok_or_else(|| format!("no VMM connected within {timeout:?}"))?;
        drop(listener);
        let peer = Peer::of(&stream).map_err(|error| format!("Cannot know the VMM: {error}"))?;
        if peer.uid() != work.spec.uid {
            return Err(format!(
                "user {} connected, not user {}",
                peer.uid(),
                work.spec.uid
            ));
        }
        let peer = Arc::new(peer);
        let size = work.chain.mapping().size();
        let taken = handshake::receive(&stream, size)
            .map_err(|error| error.to_string())
            .and_then(|(uffd, layout)| self.keep(work, &peer, uffd, layout));
        taken.inspect_err(|_| peer.kill())
    }

    /// Writes down what the next pager needs, before the first page is served.
    fn keep(
        &self,
        work: Work,
        peer: &Arc<Peer>,
        uffd: Uffd,
        layout: Layout,
    ) -> Result<Server, String> {
        use std::os::fd::AsFd;
        let id = work.spec.id.clone();
        let failed = |error: io::Error| format!("Cannot keep session {id}: {error}");
        let pages = self.run_directory.create_pages(&id).map_err(failed)?;
        let tracker = Tracker::create(&pages, work.chain.mapping().size()).map_err(failed)?;
        let tracker = Arc::new(tracker);
        let descriptor = Descriptor::new(
            work.spec.clone(),
            peer.pid(),
            peer.started().map_err(failed)?,
            peer.number_of(uffd.as_fd()),
            layout.regions(),
        );
        self.run_directory.write(&descriptor).map_err(failed)?;
        self.registry.serving(&id, peer.pid(), Arc::clone(&tracker));
        let server = work.server(Arc::clone(peer), uffd, layout, tracker, &self.pool);
        server.release_holes();
        Ok(server)
    }

    fn serve(&self, id: &str, server: &mut Server) {
        SERVED.set(Some(Arc::clone(&server.peer)));
        let end = match server.run() {
            Ok(()) => End::Exited,
            Err(reason) => End::Failed(reason),
        };
        self.finish(id, Some(&server.peer), end);
        SERVED.set(None);
    }

    /// Nobody waits for a page that does not come: a VM that is not served any more is killed, and
    /// its session is over when it is gone.
    fn finish(&self, id: &str, peer: Option<&Peer>, end: End) {
        if let Some(peer) = peer {
            peer.kill();
            peer.wait(KILL_TIMEOUT);
        }
        self.run_directory.remove(id);
        if let End::Failed(reason) = &end {
            // Not eprintln, which panics when nobody listens.
            let _ = writeln!(io::stderr(), "session {id} failed: {reason}");
        }
        self.registry.end(id, end);
    }
}

impl Work {
    fn session(&self, state: State) -> Session {
        Session {
            state,
            stats: Arc::clone(&self.stats),
            mailbox: Arc::clone(&self.mailbox),
            tracker: None,
            working_set: self.spec.working_set.clone(),
        }
    }

    fn server(
        self,
        peer: Arc<Peer>,
        uffd: Uffd,
        layout: Layout,
        tracker: Arc<Tracker>,
        pool: &Arc<IoPool>,
    ) -> Server {
        Server {
            peer,
            uffd,
            layout,
            chain: self.chain,
            tracker,
            stats: self.stats,
            mailbox: self.mailbox,
            pool: Arc::clone(pool),
            replay: self.replay,
        }
    }
}

impl Server {
    /// Gives the largest holes back to the kernel: memory that was never used faults there, not here.
    fn release_holes(&self) {
        let mut holes = Vec::new();
        for entry in self.chain.mapping().entries() {
            if entry.holder != Holder::Zeros || entry.length < HOLE_BYTES {
                continue;
            }
            for region in self.layout.regions() {
                let from = entry.offset.max(region.offset);
                let to = entry.end().min(region.offset + region.size);
                if from >= to {
                    continue;
                }
                let address = region.address + (from - region.offset);
                let start = address.next_multiple_of(HOLE_BYTES);
                let end = (address + (to - from)) / HOLE_BYTES * HOLE_BYTES;
                if start < end {
                    holes.push((start, end - start));
                }
            }
        }
        holes.sort_unstable_by_key(|(_, length)| std::cmp::Reverse(*length));
        for (address, length) in holes.into_iter().take(MAX_HOLES) {
            // A hole that stays registered is served like any other zeros.
            if self.uffd.unregister(address, length).is_ok() {
                add(&self.stats.unregistered_bytes, length);
            }
        }
    }
}

/// The failure of a request that needs a session that serves or served.
pub fn not_served(id: &str) -> Failure {
    let message = format!("Cannot read the pages of session {id}: no VMM has connected");
    Failure::new(Code::InvalidState, message)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;
    use crate::session::peer::start_time;

    #[test]
    fn a_thread_that_panics_takes_its_vm_along_and_no_other() {
        let start = || Command::new("sleep").arg("600").spawn().unwrap();
        let (mut served, mut other) = (start(), start());
        let pid = rustix::process::Pid::from_child(&served);
        let number = served.id();
        let peer = Peer::find(number, start_time(pid).unwrap()).unwrap();
        thread::spawn(move || {
            SERVED.set(Some(Arc::new(peer)));
            kill_served_vm();
        })
        .join()
        .unwrap();
        assert_eq!(served.wait().unwrap().signal(), Some(libc::SIGKILL));
        kill_served_vm(); // of this thread, which serves nobody
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
