//! One uploaded file on its way to the disk: bytes are gathered while the ones before are written.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use bytes::BytesMut;
use tokio::task::{JoinHandle, spawn_blocking};

use super::metadata::Metadata;
use super::target::Target;
use crate::app::App;
use crate::blocking::blocking;
use crate::filesystem::directories::{Owner, make_parent};
use crate::http::error::HttpError;

/// Bytes that are written at a time; twice as many are held.
const BATCH: usize = 512 * 1024;

/// Where and as whose a file is written.
#[derive(Clone)]
pub struct Destination {
    pub path: PathBuf,
    pub owner: Owner,
    /// How many bytes are announced.
    pub expected: Option<u64>,
}

/// A file that is being uploaded.
pub struct Writer {
    destination: Destination,
    gathered: BytesMut,
    progress: Progress,
}

enum Progress {
    NotOpened,
    Writing(JoinHandle<io::Result<Target>>),
}

impl Writer {
    pub fn new(destination: Destination) -> Self {
        Writer {
            destination,
            gathered: BytesMut::new(),
            progress: Progress::NotOpened,
        }
    }

    /// Takes more of the content.
    pub async fn write(&mut self, app: &Rc<App>, bytes: &[u8]) -> Result<(), HttpError> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < BATCH {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.gathered);
        let target = self.target(app).await?;
        self.progress = Progress::Writing(spawn_blocking(move || {
            let mut target = target;
            target.write(&batch)?;
            Ok(target)
        }));
        Ok(())
    }

    /// Writes what is left, sets the metadata and closes the file.
    pub async fn finish(mut self, app: &Rc<App>, metadata: &Metadata) -> Result<(), HttpError> {
        let mut target = self.target(app).await?;
        let (rest, metadata) = (std::mem::take(&mut self.gathered), metadata.clone());
        let written = blocking(move || {
            if !rest.is_empty() {
                target.write(&rest)?;
            }
            target.keep(&metadata)
        });
        written.await.map_err(|error| self.failed(&error))
    }

    /// The open file, once the bytes before are written.
    async fn target(&mut self, app: &Rc<App>) -> Result<Target, HttpError> {
        let opened = match std::mem::replace(&mut self.progress, Progress::NotOpened) {
            Progress::Writing(job) => job
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error))),
            Progress::NotOpened => self.open(app).await,
        };
        opened.map_err(|error| self.failed(&error))
    }

    async fn open(&self, app: &Rc<App>) -> io::Result<Target> {
        let destination = self.destination.clone();
        let open = move || Target::open(&destination.path, destination.owner, destination.expected);
        match blocking(open.clone()).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let Destination { path, owner, .. } = self.destination.clone();
                blocking(move || make_parent(&path, owner)).await?;
                // New directories are watched before anything appears in them.
                app.watches.catch_up();
                blocking(open).await
            }
            opened => opened,
        }
    }

    fn failed(&self, error: &io::Error) -> HttpError {
        let what = format!("write '{}'", self.destination.path.display());
        match error.kind() {
            io::ErrorKind::InvalidInput if error.raw_os_error().is_none() => {
                HttpError::bad_request(format!("Cannot {what}: {error}"))
            }
            _ => HttpError::from_io(&what, error),
        }
    }
}
