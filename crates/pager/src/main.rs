//! The page server's process. Contract: `docs/reference/pager.md`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    wrenn_pager::process_main(std::env::args_os().skip(1))
}
