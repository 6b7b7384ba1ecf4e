//! The fuzz targets' entry points on the committed corpus and on a bounded number of mutations of it.
//! The open-ended run is cargo-fuzz's; what it finds becomes part of the corpus.

use std::fs;
use std::path::Path;

use envd::fuzzing::ENTRY_POINTS;

/// Mutations of each file of the corpus.
const ROUNDS: u64 = 3_000;
/// In the full run (`./wrenn test --full`): an hour or more.
const FULL_ROUNDS: u64 = 10_000_000;

/// A small generator (splitmix64): the run is the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit.max(1) as u64) as usize
    }
}

fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
            2 => bytes.insert(at, random.below(256) as u8),
            3 => bytes.truncate(at),
            4 if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => {
                let other = &others[random.below(others.len())];
                let (from, to) = (random.below(other.len()), random.below(other.len()));
                bytes.splice(at..at, other[from.min(to)..from.max(to)].iter().copied());
            }
        }
    }
}

#[test]
fn every_entry_point_takes_its_corpus_and_mutations_of_it() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let full = std::env::var("WRENN_TEST_FULL").is_ok_and(|value| value == "1");
    let rounds = if full { FULL_ROUNDS } else { ROUNDS };
    for (name, entry_point) in ENTRY_POINTS {
        let files = fs::read_dir(corpus.join(name))
            .unwrap_or_else(|error| panic!("no corpus of {name}: {error}"));
        let mut paths: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
        paths.sort();
        let seeds: Vec<Vec<u8>> = paths
            .iter()
            .map(|path| fs::read(path).expect("readable"))
            .collect();
        assert!(!seeds.is_empty(), "no corpus of {name}");
        let mut random = Random(1);
        for seed in &seeds {
            entry_point(seed);
            for _ in 0..rounds {
                let mut bytes = seed.clone();
                mutate(&mut bytes, &seeds, &mut random);
                entry_point(&bytes);
            }
        }
    }
}

#[test]
fn every_entry_point_is_a_fuzz_target() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    for (name, _) in ENTRY_POINTS {
        let target = fs::read_to_string(targets.join(format!("{name}.rs")))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(target.contains(&format!("fuzzing::{name}(")), "{name}");
    }
    assert_eq!(
        fs::read_dir(targets).expect("readable").count(),
        ENTRY_POINTS.len()
    );
}
