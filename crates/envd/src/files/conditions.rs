//! Conditional requests (RFC 9110, section 13).

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;

/// The state of a file, as its validators tell it.
#[derive(Clone, Debug)]
pub struct Validators {
    /// Strong, with its quotes.
    pub etag: String,
    /// Whole seconds, as HTTP's dates.
    pub modified: SystemTime,
}

/// What the conditions of a request lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Proceed,
    /// 304
    NotModified,
    /// 412
    Failed,
}

impl Validators {
    /// `inode` and `nanoseconds` tell apart what size and second cannot.
    pub fn new(inode: u64, size: u64, seconds: i64, nanoseconds: i64) -> Self {
        let modified =
            SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        Validators {
            etag: format!("\"{inode:x}-{size:x}-{seconds:x}.{nanoseconds:x}\""),
            modified,
        }
    }

    /// Applies If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since, in the standard's order.
    pub fn check(&self, headers: &HeaderMap) -> Outcome {
        if let Some(tags) = text(headers, "if-match") {
            if !self.matches(tags, false) {
                return Outcome::Failed;
            }
        } else if date(headers, "if-unmodified-since").is_some_and(|date| self.modified > date) {
            return Outcome::Failed;
        }
        if let Some(tags) = text(headers, "if-none-match") {
            if self.matches(tags, true) {
                return Outcome::NotModified;
            }
        } else if date(headers, "if-modified-since").is_some_and(|date| self.modified <= date) {
            return Outcome::NotModified;
        }
        Outcome::Proceed
    }

    /// Whether If-Range, if there is one, lets the range be answered.
    pub fn range_holds(&self, headers: &HeaderMap) -> bool {
        match text(headers, "if-range") {
            None => true,
            Some(tag) if tag.contains('"') => tag.trim() == self.etag,
            Some(date) => {
                httpdate::parse_http_date(date.trim()).is_ok_and(|date| date == self.modified)
            }
        }
    }

    fn matches(&self, tags: &str, weakly: bool) -> bool {
        tags.trim() == "*"
            || tags.split(',').map(str::trim).any(|tag| {
                let tag = if weakly {
                    tag.strip_prefix("W/").unwrap_or(tag)
                } else {
                    tag
                };
                tag == self.etag
            })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn date(headers: &HeaderMap, name: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, name)?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().expect("name"),
                    HeaderValue::from_str(value).expect("value"),
                )
            })
            .collect()
    }

    #[test]
    fn follows_the_standards_order() {
        let file = Validators::new(1, 2, 784_111_777, 3); // Sun, 06 Nov 1994 08:49:37 GMT
        let (same, before, after) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:36 GMT",
            "Sun, 06 Nov 1994 08:49:38 GMT",
        );
        let weak = format!("\"x\", W/{}", file.etag);
        for (pairs, expected) in [
            (vec![], Outcome::Proceed),
            (
                vec![("if-none-match", file.etag.as_str())],
                Outcome::NotModified,
            ),
            (vec![("if-none-match", weak.as_str())], Outcome::NotModified),
            (vec![("if-none-match", "*")], Outcome::NotModified),
            (
                vec![("if-none-match", "\"x\""), ("if-modified-since", after)],
                Outcome::Proceed,
            ),
            (vec![("if-modified-since", same)], Outcome::NotModified),
            (vec![("if-modified-since", before)], Outcome::Proceed),
            (vec![("if-modified-since", "yesterday")], Outcome::Proceed),
            (vec![("if-match", file.etag.as_str())], Outcome::Proceed),
            (vec![("if-match", weak.as_str())], Outcome::Failed),
            (vec![("if-unmodified-since", before)], Outcome::Failed),
            (vec![("if-unmodified-since", same)], Outcome::Proceed),
        ] {
            assert_eq!(file.check(&headers(&pairs)), expected, "{pairs:?}");
        }
        assert!(file.range_holds(&headers(&[])));
        assert!(file.range_holds(&headers(&[("if-range", &file.etag)])));
        assert!(file.range_holds(&headers(&[("if-range", same)])));
        assert!(!file.range_holds(&headers(&[("if-range", after)])));
        assert!(!file.range_holds(&headers(&[("if-range", "\"x\"")])));
    }
}
