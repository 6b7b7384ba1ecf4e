//! Requests about the bytes of layers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{Mode, fchmod};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Pager;
use crate::failure::{Code, Failure};
use crate::files::new_file::{Existing, NewFile, publish};
use crate::files::roots::Roots;
use crate::http::response::Response;
use crate::layer::chain::Chain;
use crate::layer::header::Header;
use crate::layer::mapping::BuildId;
use crate::layer::rewrite::Rewritten;
use crate::layer::{self, checksum::Checksum, read_header, write_header};

/// A memory as layers hold it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// The newest layer's header.
    pub header: PathBuf,
    /// The memory file of every build that the header names.
    pub builds: HashMap<String, PathBuf>,
}

impl Layers {
    /// Opens the header and all files.
    pub fn open(&self, roots: &Roots) -> Result<(Header, Chain), Failure> {
        let header = read_header(roots, &self.header)?;
        let chain = Chain::open(roots, header.mapping.clone(), |build| {
            self.builds.get(build.as_str())
        })?;
        Ok((header, chain))
    }
}

/// Where a layer is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Id of the new build.
    pub build_id: String,
    /// Its memory file.
    pub memory: PathBuf,
    /// Its header.
    pub header: PathBuf,
    /// Whether it must be on the disk before the answer. The caller who says no flushes it before
    /// it commits the layer.
    #[serde(default = "yes")]
    pub durable: bool,
}

/// `POST /v1/layers/seal`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealRequest {
    layer: Target,
    /// Header of the layer that holes inherit from; absent: they are zeros.
    parent: Option<PathBuf>,
    /// The session that served this VM's memory: what the guest gave back there is zeros, though the
    /// file has a hole.
    session: Option<String>,
}

/// `POST /v1/layers/diff`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffRequest {
    layer: Target,
    pid: u32,
    /// The file that the process maps.
    image: PathBuf,
    parent: Layers,
}

/// `POST /v1/layers/inject`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InjectRequest {
    pid: u32,
    image: PathBuf,
    layers: Layers,
}

/// `POST /v1/layers/collapse` and `/v1/layers/flatten`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewriteRequest {
    layer: Target,
    layers: Layers,
}

/// `POST /v1/layers/verify`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    header: PathBuf,
    /// The layer's own memory file.
    memory: PathBuf,
    checksum: Option<String>,
}

/// What is said of a layer that was made.
#[derive(Debug, Serialize)]
struct Made {
    build_id: String,
    base_build_id: String,
    generation: u64,
    size: u64,
    entries: usize,
    checksum: String,
    data_bytes: u64,
    zero_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    touched_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_blocks: Option<bool>,
    milliseconds: f64,
}

impl Made {
    fn new(header: &Header, checksum: &Checksum, since: Instant) -> Self {
        Self {
            build_id: header.build_id.to_string(),
            base_build_id: header.base_build_id.to_string(),
            generation: header.generation,
            size: header.mapping.size(),
            entries: header.mapping.entries().len(),
            checksum: checksum.to_string(),
            data_bytes: 0,
            zero_bytes: 0,
            touched_bytes: None,
            shared_blocks: None,
            milliseconds: milliseconds(since),
        }
    }
}

/// Makes a layer of a memory file that is in its place already.
pub fn seal(pager: &Pager, request: &SealRequest) -> Result<Response, Failure> {
    let since = Instant::now();
    let target = &request.layer;
    let build = build_id(&target.build_id)?;
    let memory = pager.roots.modify(&target.memory)?;
    let size = layer::length_of(&memory, &target.memory)?;
    let parent = match &request.parent {
        Some(path) => Some(read_header(&pager.roots, path)?),
        None => None,
    };
    if let Some(parent) = &parent {
        require_size(&target.memory, size, parent)?;
        let (directory, _) = pager.roots.parent(&target.memory)?;
        pager.holes.require(directory, &target.memory)?;
    }
    let failed = |error| Failure::io(format_args!("seal {}", target.memory.display()), error);
    let given_back = match &request.session {
        Some(id) => super::sessions::tracker(pager, id)?.zeroed(),
        None => Vec::new(),
    };
    let sealed =
        layer::seal::seal(&memory, size, parent.as_ref(), &build, &given_back).map_err(failed)?;
    let header = write_header(&pager.roots, &target.header, &sealed.header)?;
    fchmod(&memory, Mode::RUSR | Mode::RGRP | Mode::ROTH).map_err(|error| failed(error.into()))?;
    if target.durable {
        memory.sync_all().map_err(failed)?;
    }
    publish(vec![header], Existing::Refuse, target.durable)?;
    Ok(Response::ok(&Made {
        data_bytes: sealed.data_bytes,
        zero_bytes: sealed.zero_bytes,
        ..Made::new(&sealed.header, &sealed.checksum, since)
    }))
}

/// Makes a layer of what a stopped process changed.
pub fn diff(pager: &Pager, request: &DiffRequest) -> Result<Response, Failure> {
    let since = Instant::now();
    let build = build_id(&request.layer.build_id)?;
    let image = pager.roots.read(&request.image)?;
    let (parent, chain) = request.parent.open(&pager.roots)?;
    let output = NewFile::create(&pager.roots, &request.layer.memory)?;
    let diff = layer::diff::diff(request.pid, &image, &parent, &chain, &build, &output)?;
    publish_layer(pager, &request.layer, output, &diff.header)?;
    Ok(Response::ok(&Made {
        data_bytes: diff.data_bytes,
        zero_bytes: diff.zero_bytes,
        touched_bytes: Some(diff.touched_bytes),
        ..Made::new(&diff.header, &diff.checksum, since)
    }))
}

/// Puts layers into a process that maps their base.
pub fn inject(pager: &Pager, request: &InjectRequest) -> Result<Response, Failure> {
    let since = Instant::now();
    let image = pager.roots.read(&request.image)?;
    let (header, chain) = request.layers.open(&pager.roots)?;
    let injected = layer::inject::inject(request.pid, &image, &header, &chain)?;
    Ok(Response::ok(&json!({
        "data_bytes": injected.data_bytes,
        "zero_bytes": injected.zero_bytes,
        "milliseconds": milliseconds(since),
    })))
}

/// Joins all layers over the base into one.
pub fn collapse(pager: &Pager, request: &RewriteRequest) -> Result<Response, Failure> {
    rewrite(pager, request, layer::rewrite::collapse)
}

/// Joins all layers and the base into a whole memory.
pub fn flatten(pager: &Pager, request: &RewriteRequest) -> Result<Response, Failure> {
    rewrite(pager, request, layer::rewrite::flatten)
}

fn rewrite(
    pager: &Pager,
    request: &RewriteRequest,
    write: impl Fn(Chain, &Header, &BuildId, &NewFile) -> std::io::Result<Rewritten>,
) -> Result<Response, Failure> {
    let since = Instant::now();
    let build = build_id(&request.layer.build_id)?;
    let (header, chain) = request.layers.open(&pager.roots)?;
    let output = NewFile::create(&pager.roots, &request.layer.memory)?;
    let rewritten = write(chain, &header, &build, &output).map_err(|error| output.failed(error))?;
    let checksum = Checksum::of(output.file()).map_err(|error| output.failed(error))?;
    publish_layer(pager, &request.layer, output, &rewritten.header)?;
    Ok(Response::ok(&Made {
        data_bytes: rewritten.copied_bytes,
        shared_blocks: Some(rewritten.shared),
        ..Made::new(&rewritten.header, &checksum, since)
    }))
}

/// Reads a whole layer and compares.
pub fn verify(pager: &Pager, request: &VerifyRequest) -> Result<Response, Failure> {
    let since = Instant::now();
    let header = read_header(&pager.roots, &request.header)?;
    let memory = pager.roots.read(&request.memory)?;
    let checksum = layer::verify::verify(
        &header,
        &memory,
        &request.memory,
        request.checksum.as_deref(),
    )?;
    Ok(Response::ok(&Made::new(&header, &checksum, since)))
}

fn publish_layer(
    pager: &Pager,
    target: &Target,
    memory: NewFile,
    header: &Header,
) -> Result<(), Failure> {
    let header = write_header(&pager.roots, &target.header, header)?;
    publish(vec![memory, header], Existing::Refuse, target.durable)
}

fn require_size(path: &Path, size: u64, parent: &Header) -> Result<(), Failure> {
    let expected = parent.mapping.size();
    if size == expected {
        return Ok(());
    }
    let message = format!(
        "Cannot seal {}: it has {size} bytes, its parent's memory {expected}",
        path.display()
    );
    Err(Failure::new(Code::IncompatibleSnapshot, message))
}

fn build_id(id: &str) -> Result<BuildId, Failure> {
    BuildId::new(id).ok_or_else(|| {
        let message = format!("Cannot name a build {id:?}: 1 to 32 visible ASCII characters");
        Failure::new(Code::InvalidRequest, message)
    })
}

fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

pub(super) fn yes() -> bool {
    true
}
