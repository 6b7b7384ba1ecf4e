//! The command line, and the start of the server.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::umask;

use crate::api::Pager;
use crate::files::holes::HoleChecks;
use crate::files::roots::Roots;
use crate::http::server;
use crate::session::descriptor::RunDirectory;
use crate::session::run::{Sessions, kill_served_vm};

const USAGE: &str = "usage: wrenn-pager --socket PATH --run-directory DIR --root DIR [--root DIR]…";

#[derive(Debug, Default)]
struct Options {
    socket: PathBuf,
    run_directory: PathBuf,
    roots: Vec<PathBuf>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut options = Self::default();
        while let Some(name) = arguments.next() {
            let value = PathBuf::from(arguments.next()?);
            match name.to_str()? {
                "--socket" => options.socket = value,
                "--run-directory" => options.run_directory = value,
                "--root" => options.roots.push(value),
                _ => return None,
            }
        }
        let absolute = |path: &PathBuf| path.is_absolute();
        let complete = absolute(&options.socket)
            && absolute(&options.run_directory)
            && !options.roots.is_empty()
            && options.roots.iter().all(absolute);
        complete.then_some(options)
    }
}

/// Runs the server; returns only when it could not start.
pub fn process_main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(options) = Options::parse(arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err((what, error)) => {
            eprintln!("Cannot {what}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), (String, io::Error)> {
    let to = |what: String| move |error: io::Error| (what, error);
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        kill_served_vm();
        report(panic);
    }));
    // Sockets and files are for their owner until they are given away.
    umask(Mode::RWXG | Mode::RWXO);
    // A fault thread must not wait for its own code to be read. Without the right to it, it may.
    let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT);

    let run_directory = &options.run_directory;
    let _lock = lock(run_directory).map_err(to(format!("lock {}", run_directory.display())))?;
    let roots = Roots::open(&options.roots).map_err(to("open the roots".into()))?;
    let roots = Arc::new(roots);
    let sessions = Sessions::new(Arc::clone(&roots), RunDirectory::new(run_directory.clone()))
        .map_err(to("start threads".into()))?;
    sessions
        .take_over()
        .map_err(to(format!("read {}", run_directory.display())))?;
    let listener =
        listen(options).map_err(to(format!("listen at {}", options.socket.display())))?;
    let pager = Pager {
        roots,
        holes: HoleChecks::default(),
        sessions,
    };
    // Nobody may read it.
    let _ = writeln!(io::stdout(), r#"{{"state":"ready"}}"#);
    server::serve(&listener, move |request| pager.answer(request));
    Ok(())
}

/// One pager per run directory: two would answer the same faults. The lock ends with the process.
fn lock(run_directory: &std::path::Path) -> io::Result<File> {
    let file = File::create(run_directory.join("lock"))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

fn listen(options: &Options) -> io::Result<UnixListener> {
    // With the lock held, a socket that is there is a dead pager's.
    match fs::remove_file(&options.socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(&options.socket),
    }
}
