//! The fuzz targets' entry points on the committed corpus and on mutations of it: a bounded number,
//! always the same, or in the full run for a given time, each run behind where the last one ended.
//! The coverage-guided run is cargo-fuzz's; what it finds becomes part of the corpus.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use envd::fuzzing::{ENTRY_POINTS, EntryPoint};

/// Mutations for each entry point.
const ROUNDS: u64 = 8_000;
/// How long the full run (`./wrenn test --full`) takes for all entry points together, unless
/// `ENVD_FUZZ_SECONDS` says otherwise.
const FULL: Duration = Duration::from_secs(2 * 3600);
/// Rounds between two looks at the clock.
const BATCH: u64 = 10_000;

/// A small generator (splitmix64).
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

/// What a round tries: by its number, whatever was tried before.
fn input(seeds: &[Vec<u8>], round: u64) -> Vec<u8> {
    let mut random = Random(round.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut bytes = seeds[random.below(seeds.len())].clone();
    mutate(&mut bytes, seeds, &mut random);
    bytes
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let files =
        fs::read_dir(&directory).unwrap_or_else(|error| panic!("no corpus of {name}: {error}"));
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("readable").path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| fs::read(path).expect("readable"))
        .collect();
    assert!(!seeds.is_empty(), "no corpus of {name}");
    seeds
}

fn run((name, entry_point): EntryPoint, rounds: std::ops::Range<u64>) {
    let seeds = corpus(name);
    if rounds.start == 0 {
        seeds.iter().for_each(|seed| entry_point(seed));
    }
    for round in rounds {
        let bytes = input(&seeds, round);
        if std::panic::catch_unwind(|| entry_point(&bytes)).is_err() {
            panic!("{name}, round {round}: {}", bytes.escape_ascii());
        }
    }
}

/// The time of the full run, if this is one.
fn full_run() -> Option<Duration> {
    let told = std::env::var("ENVD_FUZZ_SECONDS").ok();
    let told = told.map(|text| Duration::from_secs(text.parse().expect("a number of seconds")));
    let is_full = std::env::var("WRENN_TEST_FULL").is_ok_and(|value| value == "1");
    told.or(is_full.then_some(FULL))
}

#[test]
fn every_entry_point_takes_its_corpus_and_mutations_of_it() {
    let Some(time) = full_run() else {
        ENTRY_POINTS
            .iter()
            .for_each(|target| run(*target, 0..ROUNDS));
        return;
    };
    for target in ENTRY_POINTS {
        let progress = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.0));
        let text = fs::read_to_string(&progress).unwrap_or_default();
        let mut round = text.trim().parse().unwrap_or(0);
        let first = round;
        let until = Instant::now() + time / ENTRY_POINTS.len() as u32;
        while Instant::now() < until {
            run(target, round..round + BATCH);
            round += BATCH;
            fs::write(&progress, round.to_string()).expect("written");
        }
        println!("{}: rounds {first} to {round}", target.0);
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
