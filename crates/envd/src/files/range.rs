//! The Range header (RFC 9110, section 14).

/// What a Range header asks for, of content with a known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: no range, one in another unit, or several, which may be answered so.
    Whole,
    /// From `first` on, `length` bytes; never none.
    Part {
        first: u64,
        length: u64,
    },
    Unsatisfiable,
}

/// Reads a Range header for content of `total` bytes.
pub fn wanted(header: Option<&str>, total: u64) -> Wanted {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Wanted::Whole;
    };
    let number = |text: &str| {
        let text = text.trim();
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), _)
            if first >= total && (last.trim().is_empty() || number(last).is_some()) =>
        {
            Wanted::Unsatisfiable
        }
        (Some(first), None) if last.trim().is_empty() => Wanted::Part {
            first,
            length: total - first,
        },
        (Some(first), Some(last)) if first <= last => Wanted::Part {
            first,
            length: last.min(total - 1) - first + 1,
        },
        (None, Some(0)) if first.trim().is_empty() => Wanted::Unsatisfiable,
        (None, Some(_)) if first.trim().is_empty() && total == 0 => Wanted::Unsatisfiable,
        (None, Some(suffix)) if first.trim().is_empty() => {
            let length = suffix.min(total);
            Wanted::Part {
                first: total - length,
                length,
            }
        }
        _ => Wanted::Whole,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_single_ranges() {
        for (header, expected) in [
            (
                "bytes=0-4",
                Wanted::Part {
                    first: 0,
                    length: 5,
                },
            ),
            (
                "bytes=5-",
                Wanted::Part {
                    first: 5,
                    length: 5,
                },
            ),
            (
                "bytes=-3",
                Wanted::Part {
                    first: 7,
                    length: 3,
                },
            ),
            (
                "bytes=-30",
                Wanted::Part {
                    first: 0,
                    length: 10,
                },
            ),
            (
                "bytes=8-99",
                Wanted::Part {
                    first: 8,
                    length: 2,
                },
            ),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=4-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("bytes=x-1", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(Some("bytes=-1"), 0), Wanted::Unsatisfiable);
        assert_eq!(wanted(None, 10), Wanted::Whole);
    }

    proptest! {
        #[test]
        fn parts_lie_inside(header in "bytes=[0-9]{0,3}-[0-9]{0,3}", total in 0u64..500) {
            if let Wanted::Part { first, length } = wanted(Some(&header), total) {
                prop_assert!(length > 0 && first + length <= total);
            }
        }
    }
}
