//! The proto-JSON rules that plain serde does not know: null is the default value, bytes are
//! base64, 64-bit integers are strings or numbers.
//! Specification: <https://protobuf.dev/programming-guides/json/>.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};

use super::Error;

/// The request message in a JSON body; an empty body is the empty message.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let body = if body.is_empty() { b"{}" } else { body };
    object(body).map_err(|reason| Error::invalid(format!("Cannot read the request: {reason}")))
}

/// A JSON object; serde alone would take an array of an object's values too.
pub fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("it is not a JSON object".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// For `#[serde(deserialize_with)]`: null stands for the default value.
pub fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Decodes standard or URL-safe base64, with or without padding.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, base64_simd::Error> {
    if text.contains(['-', '_']) {
        return base64_simd::forgiving_decode_to_vec(
            text.replace('-', "+").replace('_', "/").as_bytes(),
        );
    }
    base64_simd::forgiving_decode_to_vec(text.as_bytes())
}

/// A proto `bytes` field.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Base64Bytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for Base64Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        decode_base64(&text)
            .map(Base64Bytes)
            .map_err(|error| D::Error::custom(format!("invalid base64: {error}")))
    }
}

/// A proto `uint64` field, which clients send as a string or as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uint64(pub u64);

impl<'de> Deserialize<'de> for Uint64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(Uint64(number)),
            Form::Text(text) => text.parse().map(Uint64).map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_in_every_base64_dialect() {
        for text in ["\"+/8=\"", "\"-_8=\"", "\"+/8\"", "\"-_8\""] {
            assert_eq!(
                serde_json::from_str::<Base64Bytes>(text).expect(text),
                Base64Bytes(vec![0xfb, 0xff])
            );
        }
        serde_json::from_str::<Base64Bytes>("\"*\"").expect_err("not base64");
    }

    #[test]
    fn integers_come_as_numbers_and_strings() {
        assert_eq!(
            serde_json::from_str::<Uint64>("7").expect("number"),
            Uint64(7)
        );
        assert_eq!(
            serde_json::from_str::<Uint64>("\"18446744073709551615\"").expect("text"),
            Uint64(u64::MAX)
        );
        serde_json::from_str::<Uint64>("-1").expect_err("negative");
    }
}
