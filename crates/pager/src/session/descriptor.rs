//! What a later pager needs to take a session over: `<id>.json` and `<id>.pages` in the run directory,
//! which is the pager's alone and forgotten with the next boot (a tmpfs).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::layout::Region;
use crate::api::layers::Layers;

const VERSION: u32 = 1;

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Names the session.
    pub id: String,
    /// Where the VMM connects.
    pub socket: PathBuf,
    /// The VMM's user.
    pub uid: u32,
    /// The VMM's group.
    pub gid: u32,
    /// The memory.
    pub layers: Layers,
    /// What is installed ahead.
    #[serde(default)]
    pub working_set: Option<PathBuf>,
    /// How long the VMM may take to connect.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
}

/// A session that is being served.
#[derive(Debug, Serialize, Deserialize)]
pub struct Descriptor {
    version: u32,
    /// What was asked for.
    pub spec: Spec,
    /// The VMM.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
    /// The number of its own copy of the userfaultfd.
    pub uffd: Option<i32>,
    /// Where its memory is.
    pub regions: Vec<Region>,
}

impl Descriptor {
    /// Of a VMM that has just handed its memory over.
    pub fn new(spec: Spec, pid: u32, started: u64, uffd: Option<i32>, regions: &[Region]) -> Self {
        Self {
            version: VERSION,
            spec,
            pid,
            started,
            uffd,
            regions: regions.to_vec(),
        }
    }
}

/// The run directory.
#[derive(Clone, Debug)]
pub struct RunDirectory(PathBuf);

impl RunDirectory {
    /// At a path that exists.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn json(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.json"))
    }

    fn temporary(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.tmp"))
    }

    fn pages(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.pages"))
    }

    /// Makes the file of a new tracker.
    pub fn create_pages(&self, id: &str) -> io::Result<File> {
        File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.pages(id))
    }

    /// Opens the file of an old tracker.
    pub fn open_pages(&self, id: &str) -> io::Result<File> {
        File::options().read(true).write(true).open(self.pages(id))
    }

    /// Makes a descriptor visible. No flush: it need not outlive the host, for the VM does not.
    pub fn write(&self, descriptor: &Descriptor) -> io::Result<()> {
        let path = self.json(&descriptor.spec.id);
        let temporary = self.temporary(&descriptor.spec.id);
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(descriptor)?)?;
        fs::rename(temporary, path)
    }

    /// Forgets a session.
    pub fn remove(&self, id: &str) {
        // The descriptor first: without it the others are garbage. Missing files are what is wanted.
        for path in [self.json(id), self.temporary(id), self.pages(id)] {
            let _ = fs::remove_file(path);
        }
    }

    /// Every session that a pager left; what cannot be read is told by its id. Files of a session that
    /// it had not written down yet are removed.
    pub fn sessions(&self) -> io::Result<Vec<Result<Descriptor, (String, String)>>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let extension = path.extension().unwrap_or_default();
            if extension == "tmp" || (extension == "pages" && !path.with_extension("json").exists())
            {
                fs::remove_file(&path)?;
            }
            if extension != "json" {
                continue;
            }
            let id = path.file_stem().unwrap_or_default();
            let id = id.to_string_lossy().into_owned();
            found.push(read(&path).map_err(|why| (id, why)));
        }
        Ok(found)
    }
}

fn read(path: &Path) -> Result<Descriptor, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let descriptor: Descriptor =
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    match descriptor.version {
        VERSION => Ok(descriptor),
        other => Err(format!("version {other} is unknown")),
    }
}

fn default_connect_timeout_ms() -> u64 {
    30_000
}
