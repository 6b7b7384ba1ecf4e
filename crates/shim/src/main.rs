//! The parent of one VM: joins its namespaces and cgroup, drops to its user, executes the VMM, and
//! stays until that has ended. Contract: `docs/reference/shim.md`.
#![deny(unsafe_code)]

mod cgroup;
mod console;
mod control;
mod exit;
mod failure;
mod jail;
mod jailed;
mod jailer;
mod launch;
mod privileges;
mod run;
mod spec;
mod supervise;
mod sys;
mod tap;
mod tsc;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: wrenn-shim run SPEC | wrenn-shim tsc-khz";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [command, spec] if command == "run" => run::run(Path::new(spec)),
        [command] if command == "tsc-khz" => tsc::print_khz(),
        // The jailer puts arguments of its own first.
        [.., command, rest] if command == jailed::COMMAND => jailed::run(rest),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
