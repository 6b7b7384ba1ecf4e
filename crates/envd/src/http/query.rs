//! Query strings: `application/x-www-form-urlencoded`.

use std::borrow::Cow;

/// The parameters of a request, decoded. Parameters given twice keep their first value.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(query: Option<&str>) -> Self {
        let pairs = query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty());
        Query(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// As `get`, with an empty value taken as absent.
    pub fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

/// Undoes `+` and percent-encoding; bytes that are no UTF-8 become replacement characters.
fn decode(text: &str) -> String {
    let spaced = if text.contains('+') {
        Cow::Owned(text.replace('+', " "))
    } else {
        Cow::Borrowed(text)
    };
    percent_decode(&spaced)
}

/// Undoes percent-encoding; a `%` without two hex digits stands for itself.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        // `from_str_radix` takes a sign, which is no hex digit.
        let byte = hex
            .filter(|digits| !digits.starts_with('+'))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) if bytes[at] == b'%' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_names_and_values() {
        let query = Query::parse(Some(
            "path=a%2Fb%20%C3%A9+x&username=&path=second&flag&bad=%+1%zz%4",
        ));
        assert_eq!(query.get("path"), Some("a/b é x"));
        assert_eq!(query.get("username"), Some(""));
        assert_eq!(query.non_empty("username"), None);
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("bad"), Some("% 1%zz%4"));
        assert_eq!(query.get("absent"), None);
    }
}
