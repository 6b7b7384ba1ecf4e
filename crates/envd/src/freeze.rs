//! `POST /fsfreeze` and `/fsthaw`: the root file system, consistent on its disk, for a pause that
//! keeps the disk only.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use hyper::Response;

use crate::app::App;
use crate::blocking::blocking_io;
use crate::http::body::Body;
use crate::http::error::HttpError;
use crate::http::router::no_content;
use crate::ioctl;

/// When nobody thaws. While the VM is stopped, this time does not run.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether the root file system is frozen, and how to end it.
#[derive(Default)]
pub struct Freezer {
    /// The root, opened before it was frozen.
    frozen: RefCell<Option<File>>,
    freezes: Cell<u64>,
}

impl Freezer {
    /// Ends a freeze; without one it is success. Does not go through the pool, whose threads may all
    /// be waiting for this.
    pub fn thaw(&self) -> io::Result<()> {
        let Some(root) = self.frozen.take() else {
            return Ok(());
        };
        match ioctl::thaw(&root) {
            // Somebody else did it.
            Err(error) if error.raw_os_error() != Some(libc::EINVAL) => Err(error),
            _ => Ok(()),
        }
    }

    async fn freeze(self: &Rc<Self>) -> io::Result<()> {
        if self.frozen.borrow().is_some() {
            return Ok(());
        }
        let root = blocking_io(|| {
            let root = File::open("/")?;
            match ioctl::freeze(&root) {
                Err(error) if error.raw_os_error() != Some(libc::EBUSY) => Err(error),
                _ => Ok(root),
            }
        })
        .await?;
        self.frozen.replace(Some(root));
        self.freezes.set(self.freezes.get() + 1);
        tokio::task::spawn_local(Rc::clone(self).thaw_later(self.freezes.get()));
        Ok(())
    }

    async fn thaw_later(self: Rc<Self>, freeze: u64) {
        tokio::time::sleep(LONGEST).await;
        if self.freezes.get() == freeze && self.frozen.borrow().is_some() {
            eprintln!(
                "envd: nobody thawed the file system for {} s",
                LONGEST.as_secs()
            );
            if let Err(error) = self.thaw() {
                eprintln!("envd: Cannot thaw the file system: {error}");
            }
        }
    }
}

/// Answers `POST /fsfreeze`; freezing twice is success.
pub async fn freeze(app: &App) -> Result<Response<Body>, HttpError> {
    let freezer = Rc::clone(&app.freezer);
    // In a task of its own: whoever asked may leave, but the freeze has to be known.
    let freezing = tokio::task::spawn_local(async move { freezer.freeze().await });
    let frozen = freezing
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    frozen
        .map(|()| no_content())
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::ENOTTY) => {
                HttpError::new(501, "the root file system cannot be frozen")
            }
            _ => HttpError::from_io("freeze the file system", &error),
        })
}

/// Answers `POST /fsthaw`; without a freeze it is success.
pub fn thaw(app: &App) -> Result<Response<Body>, HttpError> {
    app.freezer
        .thaw()
        .map(|()| no_content())
        .map_err(|error| HttpError::from_io("thaw the file system", &error))
}
