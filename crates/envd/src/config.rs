//! Command line of the agent.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::http::access::Peers;

/// Text of `envd --help`.
pub const HELP: &str = "\
envd: Wrenn's guest agent

  --listen ADDRESS:PORT    where to listen (default 0.0.0.0:49983)
  --gateway ADDRESS        the only peer that is answered (default 169.254.0.22)
  --allow-loopback         answer loopback peers too (tests only)
  --cgroup-root DIRECTORY  where cgroup v2 is mounted (default /sys/fs/cgroup)
  --no-cgroups             make no cgroups: follow processes by session and parent
  --version                print the version
";

/// What the agent is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Port 0 takes any.
    pub listen: SocketAddr,
    /// Who is answered.
    pub peers: Peers,
    /// `None`: processes get no cgroups.
    pub cgroup_root: Option<PathBuf>,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// To serve.
    Serve(Config),
    /// To print the help.
    Help,
    /// To print the version.
    Version,
}

/// Reads the arguments after the program's name.
pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut config = Config {
        listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 49983)),
        peers: Peers {
            gateway: Ipv4Addr::new(169, 254, 0, 22),
            allow_loopback: false,
        },
        cgroup_root: Some("/sys/fs/cgroup".into()),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--listen" => config.listen = parsed("--listen", &value()?)?,
            "--gateway" => config.peers.gateway = parsed("--gateway", &value()?)?,
            "--allow-loopback" => config.peers.allow_loopback = true,
            "--cgroup-root" => config.cgroup_root = Some(value()?.into()),
            "--no-cgroups" => config.cgroup_root = None,
            "--help" => return Ok(Command::Help),
            "--version" => return Ok(Command::Version),
            unknown => return Err(format!("unknown argument '{unknown}'")),
        }
    }
    Ok(Command::Serve(config))
}

fn parsed<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("invalid value '{value}' of {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Result<Command, String> {
        parse(arguments.iter().map(|argument| argument.to_string()))
    }

    #[test]
    fn listens_for_the_gateway_by_default() {
        let Ok(Command::Serve(config)) = of(&[]) else {
            panic!("serves")
        };
        assert_eq!(config.listen.to_string(), "0.0.0.0:49983");
        assert_eq!(config.peers.gateway.to_string(), "169.254.0.22");
        assert!(!config.peers.allow_loopback);
    }

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(
            of(&["--listen", "x"]).expect_err("invalid"),
            "invalid value 'x' of --listen"
        );
        assert_eq!(
            of(&["--listen"]).expect_err("missing"),
            "--listen needs a value"
        );
        assert_eq!(of(&["-v"]).expect_err("unknown"), "unknown argument '-v'");
    }
}
