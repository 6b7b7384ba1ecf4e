//! Firecracker's handshake: one message with the regions as JSON and the userfaultfd as SCM_RIGHTS.
//! QEMU does not speak it; whoever does is served.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use serde::Deserialize;

use super::layout::{InvalidLayout, Layout, Region};
use super::uffd::Uffd;
use crate::layer::mapping::BLOCK_BYTES;

/// Longest message: a thousand regions.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// A VMM that has connected sends at once.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// The userfaultfd and, from some VMMs, one for the memory itself.
const MAX_DESCRIPTORS: usize = 4;

/// A region as the VMM writes it. Fields that are not known are ignored.
#[derive(Debug, Deserialize)]
struct Message {
    base_host_virt_addr: u64,
    size: u64,
    offset: u64,
    page_size: Option<u64>,
    /// In bytes, whatever its name says; what older versions send.
    page_size_kib: Option<u64>,
}

/// Why a VMM cannot be served.
#[derive(Debug)]
pub enum HandshakeError {
    /// The socket failed, or nothing came in time.
    Receive(io::Error),
    /// The message is longer than any real one.
    TooLong,
    /// It came with more descriptors than are taken.
    TooManyDescriptors,
    /// None of its descriptors is a userfaultfd.
    NoUserfaultfd,
    /// Not the JSON of regions.
    Malformed(String),
    /// Its pages are not of 4096 bytes.
    PageSize(u64),
    /// Its regions are not inside of the memory.
    Layout(InvalidLayout),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Cannot serve the VMM: ")?;
        match self {
            Self::Receive(error) => write!(out, "its message did not come: {error}"),
            Self::TooLong => write!(out, "its message is longer than {MAX_MESSAGE_BYTES} bytes"),
            Self::TooManyDescriptors => {
                write!(out, "it sent more than {MAX_DESCRIPTORS} descriptors")
            }
            Self::NoUserfaultfd => out.write_str("it sent no userfaultfd"),
            Self::Malformed(why) => write!(out, "its message is malformed: {why}"),
            Self::PageSize(bytes) => write!(out, "its pages have {bytes} bytes, not {BLOCK_BYTES}"),
            Self::Layout(why) => write!(out, "its memory layout is wrong: {why}"),
        }
    }
}

/// Receives the message of a VMM whose memory has `size` bytes.
pub fn receive(stream: &UnixStream, size: u64) -> Result<(Uffd, Layout), HandshakeError> {
    let deadline = Instant::now() + MESSAGE_TIMEOUT;
    let mut text = vec![0; MAX_MESSAGE_BYTES];
    let mut length = 0;
    let mut descriptors = Vec::new();
    let regions = loop {
        // A stream may hand a long message over in pieces.
        length += receive_part(stream, deadline, &mut text[length..], &mut descriptors)?;
        match parse(&text[..length]) {
            Ok(regions) => break regions,
            Err(ParseError::Incomplete) if length < MAX_MESSAGE_BYTES => {}
            Err(ParseError::Incomplete) => return Err(HandshakeError::TooLong),
            Err(ParseError::Final(error)) => return Err(error),
        }
    };
    let layout = Layout::new(regions, size).map_err(HandshakeError::Layout)?;
    let uffd = descriptors.into_iter().find_map(|fd| Uffd::new(fd).ok());
    Ok((uffd.ok_or(HandshakeError::NoUserfaultfd)?, layout))
}

fn receive_part(
    stream: &UnixStream,
    deadline: Instant,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> Result<usize, HandshakeError> {
    let left = deadline.saturating_duration_since(Instant::now());
    stream
        .set_read_timeout(Some(left.max(Duration::from_millis(1))))
        .map_err(HandshakeError::Receive)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(buffer)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )
    .map_err(|error| HandshakeError::Receive(error.into()))?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) || descriptors.len() > MAX_DESCRIPTORS {
        return Err(HandshakeError::TooManyDescriptors);
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(HandshakeError::TooLong);
    }
    match received.bytes {
        0 => Err(HandshakeError::Receive(io::ErrorKind::UnexpectedEof.into())),
        bytes => Ok(bytes),
    }
}

#[derive(Debug)]
enum ParseError {
    Incomplete,
    Final(HandshakeError),
}

fn parse(text: &[u8]) -> Result<Vec<Region>, ParseError> {
    let messages: Vec<Message> = serde_json::from_slice(text).map_err(|error| {
        if error.is_eof() {
            ParseError::Incomplete
        } else {
            ParseError::Final(HandshakeError::Malformed(error.to_string()))
        }
    })?;
    messages
        .into_iter()
        .map(|message| {
            let page_size = message
                .page_size
                .or(message.page_size_kib)
                .unwrap_or(BLOCK_BYTES);
            if page_size != BLOCK_BYTES {
                return Err(ParseError::Final(HandshakeError::PageSize(page_size)));
            }
            Ok(Region {
                address: message.base_host_virt_addr,
                size: message.size,
                offset: message.offset,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REGION: Region = Region {
        address: 4096,
        size: 8192,
        offset: 0,
    };

    #[test]
    fn every_variant_of_a_region_is_read() {
        for page_size in [
            r#","page_size":4096"#,
            r#","page_size_kib":4096"#,
            r#","page_size":4096,"page_size_kib":4096"#,
            "",
            r#","page_size":4096,"future":{"a":[1]}"#,
        ] {
            let text =
                format!(r#"[{{"base_host_virt_addr":4096,"size":8192,"offset":0{page_size}}}]"#);
            assert_eq!(parse(text.as_bytes()).unwrap(), [REGION], "{text}");
            for cut in 1..text.len() {
                assert!(
                    matches!(parse(&text.as_bytes()[..cut]), Err(ParseError::Incomplete)),
                    "{cut}"
                );
            }
        }
    }

    #[test]
    fn other_pages_and_other_json_are_refused() {
        let huge = br#"[{"base_host_virt_addr":0,"size":0,"offset":0,"page_size":2097152}]"#;
        assert!(matches!(
            parse(huge),
            Err(ParseError::Final(HandshakeError::PageSize(2_097_152)))
        ));
        for text in [
            "{}",
            "[1]",
            "[] []",
            r#"[{"size":1}]"#,
            r#"[{"base_host_virt_addr":-1,"size":1,"offset":0}]"#,
        ] {
            assert!(
                matches!(
                    parse(text.as_bytes()),
                    Err(ParseError::Final(HandshakeError::Malformed(_)))
                ),
                "{text}"
            );
        }
        let deep = "[".repeat(5000);
        assert!(matches!(
            parse(deep.as_bytes()),
            Err(ParseError::Final(HandshakeError::Malformed(_)))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_text_near_a_message_makes_it_panic(text in r#"\[(\{("(size|offset|page_size|base_host_virt_addr)":-?[0-9]{1,25},?)*\},?){0,4}\]"#) {
            let _ = parse(text.as_bytes());
        }
    }
}
