//! The guest agent's program.
#![deny(unsafe_code)]

use std::process::ExitCode;

use envd::config::{self, Command};

fn main() -> ExitCode {
    match config::parse(std::env::args().skip(1)) {
        Ok(Command::Serve(config)) => match envd::run(config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => fail(&message, 1),
        },
        Ok(Command::Help) => {
            print!("{}", config::HELP);
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            println!("{}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Err(message) => fail(&message, 2),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("envd: {message}");
    ExitCode::from(code)
}
