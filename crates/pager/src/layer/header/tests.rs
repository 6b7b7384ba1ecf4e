//! The header against the bytes that the host agent writes, and against bytes that nobody wrote.

use proptest::prelude::*;

use super::super::mapping::Run;
use super::*;

fn id(name: &str) -> BuildId {
    BuildId::new(name).unwrap()
}

/// What `tests/vectors/three-builds.json` says, built by hand.
fn three_builds() -> Header {
    let run = |page: u64, pages: u64, storage_page: Option<u64>| Run {
        offset: page * BLOCK_BYTES,
        length: pages * BLOCK_BYTES,
        storage_offset: storage_page.map(|page| page * BLOCK_BYTES),
    };
    let mapping = Mapping::whole(id("gold-0123456789abcdefghij"), 64 * BLOCK_BYTES)
        .overlay(&id("layer-1"), [run(3, 5, Some(3)), run(20, 4, None)])
        .overlay(
            &id("layer-2"),
            [run(5, 1, None), run(6, 1, Some(6)), run(7, 2, Some(100))],
        );
    Header {
        generation: 2,
        build_id: id("layer-2"),
        base_build_id: id("gold-0123456789abcdefghij"),
        mapping,
    }
}

#[test]
fn encodes_and_decodes_the_bytes_that_the_host_agent_does() {
    let vector = include_bytes!("../../../tests/vectors/three-builds.mem.header");
    assert_eq!(Header::decode(vector).unwrap(), three_builds());
    assert_eq!(three_builds().encode(), vector);
}

#[test]
fn decode_names_what_is_wrong() {
    let good = three_builds().encode();
    let changed = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let end = bytes.len() - CRC_BYTES;
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
        Header::decode(&bytes).unwrap_err()
    };
    let entries = FIXED_BYTES + 3 * BuildId::MAX_BYTES;
    assert_eq!(Header::decode(b""), Err(HeaderError::NotAHeader));
    assert_eq!(changed(0, 0), HeaderError::NotAHeader);
    assert_eq!(changed(8, 2), HeaderError::UnknownVersion(2));
    assert_eq!(changed(12, 1 << 21), HeaderError::UnknownBlockSize(1 << 21));
    assert_eq!(changed(20, 1 << 30), HeaderError::NumberTooLarge);
    assert_eq!(
        changed(16, 4096),
        HeaderError::Mapping(InvalidMapping::WrongSize {
            covered: 64 * 4096,
            size: 4096
        })
    );
    assert_eq!(changed(32, 0x0000_0a0a), HeaderError::BadBuildId);
    assert_eq!(changed(100, u32::MAX), HeaderError::TooManyEntries);
    assert_eq!(changed(100, 1), HeaderError::WrongLength);
    assert_eq!(changed(entries + 16, 3), HeaderError::UnknownBuild);
    assert_eq!(
        changed(entries, 4096),
        HeaderError::Mapping(InvalidMapping::BadEntry(4096))
    );
    let mut broken = good.clone();
    broken[40] ^= 1;
    assert_eq!(Header::decode(&broken), Err(HeaderError::WrongChecksum));
}

proptest! {
    #[test]
    fn any_changed_byte_is_refused(at in any::<prop::sample::Index>(), change in 1..=255_u8) {
        let mut bytes = three_builds().encode();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        prop_assert!(Header::decode(&bytes).is_err());
    }

    #[test]
    fn any_bytes_with_a_right_checksum_decode_or_fail_but_never_panic(
        head in any::<[u8; 88]>(), builds in 0..4_u32, entries in 0..6_u32, body in proptest::collection::vec(any::<u8>(), 0..400)
    ) {
        let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &4096_u32.to_le_bytes(), &head[..80], &builds.to_le_bytes(), &entries.to_le_bytes(), &body].concat();
        bytes.resize(FIXED_BYTES + builds as usize * BuildId::MAX_BYTES + entries as usize * ENTRY_BYTES, 0x21);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        if let Ok(header) = Header::decode(&bytes) {
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }
    }
}
