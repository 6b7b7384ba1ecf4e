//! The envelope of streamed messages: one flag byte, a big-endian 32-bit length, the message.

use bytes::{Bytes, BytesMut};

use super::Error;

/// Flag of the last envelope of a stream.
pub const END_OF_STREAM: u8 = 0x02;
const COMPRESSED: u8 = 0x01;
const HEADER: usize = 5;

/// One envelope around `message`.
pub fn encode(flags: u8, message: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(HEADER + message.len());
    put_header(&mut frame, flags, message.len());
    frame.extend_from_slice(message);
    frame.into()
}

/// Appends the header of an envelope whose message has `length` bytes.
pub fn put_header(frame: &mut Vec<u8>, flags: u8, length: usize) {
    let length = u32::try_from(length).expect("a message is far below 4 GiB");
    frame.push(flags);
    frame.extend_from_slice(&length.to_be_bytes());
}

/// Takes envelopes out of bytes that arrive in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    buffered: BytesMut,
    max_message: usize,
}

impl Decoder {
    /// `max_message`: the largest message accepted, in bytes.
    pub fn new(max_message: usize) -> Self {
        Decoder {
            buffered: BytesMut::new(),
            max_message,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffered.extend_from_slice(bytes);
    }

    /// The next whole message, or `None` until more bytes arrive. An end-of-stream envelope is an
    /// error: clients never send one.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, Error> {
        if self.buffered.len() < HEADER {
            return Ok(None);
        }
        let flags = self.buffered[0];
        let length = u32::from_be_bytes([
            self.buffered[1],
            self.buffered[2],
            self.buffered[3],
            self.buffered[4],
        ]) as usize;
        if flags & COMPRESSED != 0 {
            return Err(Error::new(
                super::Code::Unimplemented,
                "compressed messages are not supported",
            ));
        }
        if flags != 0 {
            return Err(Error::invalid(format!(
                "unexpected envelope flags {flags:#04x}"
            )));
        }
        if length > self.max_message {
            return Err(too_large(self.max_message));
        }
        if self.buffered.len() < HEADER + length {
            return Ok(None);
        }
        let mut frame = self.buffered.split_to(HEADER + length);
        Ok(Some(frame.split_off(HEADER).freeze()))
    }

    /// Whether nothing is left over: a stream that stops inside an envelope was cut.
    pub fn is_empty(&self) -> bool {
        self.buffered.is_empty()
    }
}

/// The refusal of a message above `max` bytes.
pub fn too_large(max: usize) -> Error {
    Error::new(
        super::Code::ResourceExhausted,
        format!("the message is larger than {max} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_survive_any_fragmentation(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
            piece in 1usize..64,
        ) {
            let wire: Vec<u8> = messages.iter().flat_map(|m| encode(0, m).to_vec()).collect();
            let mut decoder = Decoder::new(1024);
            let mut decoded = Vec::new();
            for bytes in wire.chunks(piece) {
                decoder.push(bytes);
                while let Some(message) = decoder.next_message().expect("valid frames") {
                    decoded.push(message.to_vec());
                }
            }
            prop_assert_eq!(decoded, messages);
            prop_assert!(decoder.is_empty());
        }
    }

    #[test]
    fn refuses_large_compressed_and_ended_messages() {
        for (wire, code) in [
            (vec![0, 0, 0, 0, 9], super::super::Code::ResourceExhausted),
            (vec![1, 0, 0, 0, 0], super::super::Code::Unimplemented),
            (vec![2, 0, 0, 0, 0], super::super::Code::InvalidArgument),
        ] {
            let mut decoder = Decoder::new(8);
            decoder.push(&wire);
            assert_eq!(decoder.next_message().expect_err("refused").code, code);
        }
    }
}
