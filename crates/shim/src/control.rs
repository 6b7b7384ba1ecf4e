//! The socket through which the agent follows its VM and kills it: lines of JSON.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::failure::{Failure, Step};

const MAX_CLIENTS: usize = 32;
const MAX_LINE_BYTES: usize = 1024;

/// What the shim says of its VM.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State<'a> {
    /// The VMM was executed and has this process id on the host.
    Running { pid: i32 },
    /// The VMM has ended.
    Exited(&'a Exit),
    /// The VMM could not be started.
    Failed(&'a Failure),
}

impl State<'_> {
    /// The state as one line.
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("strings and numbers are always JSON");
        line.push(b'\n');
        line
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    kill: bool,
}

/// What a client's bytes came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing to do (yet).
    Nothing,
    /// The VM is to be killed.
    Kill,
    /// The client has gone, or does not speak the protocol.
    Gone,
}

/// The bound socket; dropped, it is unlinked.
pub struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ControlSocket {
    /// Binds `path`, replacing a socket on which nobody listens any more. A VM that runs is not started
    /// a second time: its shim listens.
    pub fn bind(path: &Path) -> Result<Self, Failure> {
        let step = || format!("bind control socket {}", path.display());
        if is_abandoned(path) {
            fs::remove_file(path).step(step)?;
        }
        let listener = UnixListener::bind(path).step(step)?;
        let socket = Self {
            path: path.to_owned(),
            listener,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).step(step)?;
        socket.listener.set_nonblocking(true).step(step)?;
        Ok(socket)
    }

    /// The next connection that waits, if any.
    pub fn accept(&self) -> Option<UnixStream> {
        self.listener.accept().ok().map(|(stream, _)| stream)
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            eprintln!("Cannot remove {}: {error}", self.path.display());
        }
    }
}

fn is_abandoned(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// One connection.
pub struct Client {
    stream: UnixStream,
    heard: Vec<u8>,
}

impl Client {
    /// Greets a connection with the VM's state. The client may be gone already, and have left a command.
    pub fn greet(stream: UnixStream, state: &[u8]) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let mut client = Self {
            stream,
            heard: Vec::new(),
        };
        client.say(state);
        Ok(client)
    }

    /// Reads what is there and acts on whole lines.
    pub fn hear(&mut self) -> Heard {
        let mut bytes = [0; MAX_LINE_BYTES];
        match self.stream.read(&mut bytes) {
            Ok(0) => Heard::Gone,
            Ok(count) => {
                self.heard.extend_from_slice(&bytes[..count]);
                take_lines(&mut self.heard)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Heard::Nothing
            }
            Err(_) => Heard::Gone,
        }
    }

    /// Says the VM's end and closes. What was not read would make the kernel reset the connection and
    /// take the line with it.
    pub fn say_last(mut self, line: &[u8]) {
        while self.hear() == Heard::Kill {}
        self.say(line);
    }

    /// Never waits. The few lines that a client is told fit into an empty socket buffer.
    fn say(&mut self, line: &[u8]) {
        let _ = self.stream.write(line);
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Whether one more client is served.
pub fn has_room(clients: &[Client]) -> bool {
    clients.len() < MAX_CLIENTS
}

/// Consumes the whole lines of `heard`.
fn take_lines(heard: &mut Vec<u8>) -> Heard {
    let mut result = Heard::Nothing;
    while let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
        match serde_json::from_slice(&heard[..end]) {
            Ok(Command { kill: true }) => result = Heard::Kill,
            Ok(Command { kill: false }) | Err(_) => return Heard::Gone,
        }
        heard.drain(..=end);
    }
    if heard.len() > MAX_LINE_BYTES {
        Heard::Gone
    } else {
        result
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(text: &[u8]) -> (Heard, Vec<u8>) {
        let mut buffer = text.to_vec();
        let result = take_lines(&mut buffer);
        (result, buffer)
    }

    #[test]
    fn take_lines_waits_for_the_end_of_a_line() {
        assert_eq!(heard(b""), (Heard::Nothing, vec![]));
        assert_eq!(
            heard(b"{\"kill\":tr"),
            (Heard::Nothing, b"{\"kill\":tr".to_vec())
        );
        assert_eq!(
            heard(b"{\"kill\":true}\n{\"k"),
            (Heard::Kill, b"{\"k".to_vec())
        );
    }

    #[test]
    fn take_lines_refuses_what_is_no_command() {
        for line in [
            "\n",
            "{}\n",
            "{\"kill\":false}\n",
            "{\"kill\":1}\n",
            "{\"kill\":true,\"x\":1}\n",
            "kill\n",
            "\u{0}\n",
        ] {
            assert_eq!(heard(line.as_bytes()).0, Heard::Gone, "{line:?}");
        }
        assert_eq!(heard(&[b'x'; MAX_LINE_BYTES + 1]).0, Heard::Gone);
    }

    proptest! {
        #[test]
        fn take_lines_survives_any_bytes_and_never_keeps_a_line(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let (result, rest) = heard(&bytes);
            prop_assert_ne!(result, Heard::Kill);
            prop_assert!(bytes.ends_with(&rest));
        }

        #[test]
        fn take_lines_finds_a_kill_however_it_is_cut(cut in 0usize..14, more in 0usize..3) {
            let line = b"{\"kill\":true}\n";
            let text = line.repeat(more + 1);
            let mut buffer = text[..cut].to_vec();
            prop_assert_eq!(take_lines(&mut buffer), Heard::Nothing);
            buffer.extend_from_slice(&text[cut..]);
            prop_assert_eq!(take_lines(&mut buffer), Heard::Kill);
            prop_assert!(buffer.is_empty());
        }
    }
}
