//! The mapping against a naive model: who holds each page, and where.

use proptest::prelude::*;

use super::*;

const PAGES: u64 = 48;
const SIZE: u64 = PAGES * BLOCK_BYTES;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Touch {
    Clean,
    Zeroed,
    /// Written; stored this many blocks beyond its own offset.
    Written(u64),
}

/// What the model knows of a page: the build's name and the storage offset, or zeros.
type Model = Vec<Option<(String, u64)>>;

fn id(name: &str) -> BuildId {
    BuildId::new(name).unwrap()
}

fn touches() -> impl Strategy<Value = Vec<Touch>> {
    let touch = prop_oneof![
        3 => Just(Touch::Clean),
        1 => Just(Touch::Zeroed),
        2 => Just(Touch::Written(0)),
        1 => Just(Touch::Written(7)),
    ];
    proptest::collection::vec(touch, PAGES as usize)
}

/// One run per page, or joined where the touches are equal.
fn runs_of(touches: &[Touch], join: bool) -> Vec<Run> {
    let mut runs: Vec<(Touch, Run)> = Vec::new();
    for (page, touch) in touches.iter().enumerate() {
        let offset = page as u64 * BLOCK_BYTES;
        let storage_offset = match touch {
            Touch::Clean => continue,
            Touch::Zeroed => None,
            Touch::Written(shift) => Some(offset + shift * BLOCK_BYTES),
        };
        match runs.last_mut() {
            Some((last, run)) if join && last == touch && run.end() == offset => {
                run.length += BLOCK_BYTES
            }
            _ => runs.push((
                *touch,
                Run {
                    offset,
                    length: BLOCK_BYTES,
                    storage_offset,
                },
            )),
        }
    }
    runs.into_iter().map(|(_, run)| run).collect()
}

fn write_model(model: &mut Model, build: &str, touches: &[Touch]) {
    for (page, touch) in touches.iter().enumerate() {
        match touch {
            Touch::Clean => {}
            Touch::Zeroed => model[page] = None,
            Touch::Written(shift) => {
                model[page] = Some((build.to_owned(), (page as u64 + shift) * BLOCK_BYTES))
            }
        }
    }
}

fn resolve(mapping: &Mapping) -> Model {
    (0..PAGES)
        .map(|page| {
            let offset = page * BLOCK_BYTES;
            let entry = mapping.look_up(offset).unwrap();
            match entry.holder.advance(offset - entry.offset) {
                Holder::Zeros => None,
                Holder::Build {
                    index,
                    storage_offset,
                } => Some((mapping.builds()[index as usize].to_string(), storage_offset)),
            }
        })
        .collect()
}

proptest! {
    #[test]
    fn overlay_gives_every_page_to_its_last_writer(layers in proptest::collection::vec((touches(), any::<bool>()), 0..10)) {
        let mut mapping = Mapping::whole(id("base"), SIZE);
        let mut model: Model = (0..PAGES).map(|page| Some(("base".to_owned(), page * BLOCK_BYTES))).collect();
        for (depth, (touches, join)) in layers.iter().enumerate() {
            let build = format!("b{depth}");
            mapping = mapping.overlay(&id(&build), runs_of(touches, *join));
            write_model(&mut model, &build, touches);
            prop_assert_eq!(resolve(&mapping), model.clone());
            let again = Mapping::from_entries(mapping.builds().to_vec(), mapping.entries().to_vec(), SIZE);
            prop_assert_eq!(again.as_ref(), Ok(&mapping));
            prop_assert!(mapping.entries().len() <= PAGES as usize, "neighbours are joined");
            for build in mapping.builds() {
                prop_assert!(model.iter().flatten().any(|(name, _)| name == build.as_str()), "{} is not used", build);
            }
        }
    }

    #[test]
    fn cutting_runs_into_pages_changes_nothing(touches in touches()) {
        let base = Mapping::whole(id("base"), SIZE);
        prop_assert_eq!(base.overlay(&id("b"), runs_of(&touches, true)), base.overlay(&id("b"), runs_of(&touches, false)));
    }

    #[test]
    fn between_is_the_entries_cut_to_the_range(touches in touches(), from in 0..PAGES, pages in 0..PAGES) {
        let mapping = Mapping::zeros(SIZE).overlay(&id("b"), runs_of(&touches, true));
        let to = (from + pages).min(PAGES);
        let mut next = from * BLOCK_BYTES;
        for part in mapping.between(from * BLOCK_BYTES, to * BLOCK_BYTES) {
            prop_assert_eq!(part.offset, next);
            let whole = mapping.look_up(part.offset).unwrap();
            prop_assert_eq!(part.holder, whole.holder.advance(part.offset - whole.offset));
            next = part.end();
        }
        prop_assert_eq!(next, to * BLOCK_BYTES);
    }
}

#[test]
fn a_zeroed_page_is_data_and_only_a_hole_inherits() {
    let run = Run {
        offset: BLOCK_BYTES,
        length: BLOCK_BYTES,
        storage_offset: None,
    };
    let mapping = Mapping::whole(id("base"), SIZE).overlay(&id("b"), [run]);
    assert_eq!(mapping.look_up(BLOCK_BYTES).unwrap().holder, Holder::Zeros);
    assert_eq!(mapping.entries().len(), 3);
}

#[test]
fn neighbours_of_one_build_that_are_apart_in_storage_stay_apart() {
    let run = |offset: u64, storage: u64| Run {
        offset: offset * BLOCK_BYTES,
        length: BLOCK_BYTES,
        storage_offset: Some(storage * BLOCK_BYTES),
    };
    let mapping =
        Mapping::zeros(3 * BLOCK_BYTES).overlay(&id("b"), [run(0, 0), run(1, 1), run(2, 9)]);
    assert_eq!(mapping.entries().len(), 2);
}

#[test]
fn look_up_outside_of_the_memory_finds_nothing() {
    let mapping = Mapping::zeros(SIZE);
    assert!(mapping.look_up(SIZE).is_none());
    assert!(Mapping::zeros(0).look_up(0).is_none());
}

#[test]
fn from_entries_refuses_what_does_not_cover_the_memory_once() {
    let entry = |offset: u64, length: u64| Entry {
        offset,
        length,
        holder: Holder::Zeros,
    };
    let check = |entries: Vec<Entry>| Mapping::from_entries(Vec::new(), entries, 8192).unwrap_err();
    assert_eq!(
        check(vec![entry(4096, 4096)]),
        InvalidMapping::BadEntry(4096)
    );
    assert_eq!(
        check(vec![entry(0, 8192), entry(4096, 4096)]),
        InvalidMapping::BadEntry(4096)
    );
    assert_eq!(check(vec![entry(0, 0)]), InvalidMapping::BadEntry(0));
    assert_eq!(check(vec![entry(0, 100)]), InvalidMapping::BadEntry(0));
    assert_eq!(
        check(vec![entry(0, 4096), entry(4096, u64::MAX - 4095)]),
        InvalidMapping::BadEntry(4096)
    );
    assert_eq!(
        check(vec![entry(0, 4096)]),
        InvalidMapping::WrongSize {
            covered: 4096,
            size: 8192
        }
    );
}
