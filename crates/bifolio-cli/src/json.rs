//! How values look in `--json`, where JSON has no way of its own to say them.

use crate::hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A path: a string where it is UTF-8, and `{"hex": "..."}` of its bytes where it is not, so that
/// none is lost.
pub(crate) struct Path<'a>(pub(crate) &'a std::path::Path);

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Raw {
            hex: String,
        }
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => Raw { hex: hex::string(self.0.as_os_str().as_encoded_bytes()) }
                .serialize(serializer),
        }
    }
}

/// A path as [`Path`] writes it: for `serialize_with`.
pub(crate) fn path<S: Serializer>(
    path: &std::path::Path,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    Path(path).serialize(serializer)
}

/// A path as [`Path`] wrote it: for `deserialize_with`.
pub(crate) fn to_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Raw { hex: String },
    }
    let hex = match Written::deserialize(deserializer)? {
        Written::Text(text) => return Ok(text.into()),
        Written::Raw { hex } => hex,
    };
    let byte = |digits: &[u8]| match digits {
        &[high, low] => Some(hex::value(high)? << 4 | hex::value(low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(byte).collect();
    let bytes = bytes.ok_or_else(|| serde::de::Error::custom("no hexadecimal digits"))?;
    Ok(OsString::from_vec(bytes).into())
}

/// Bytes as a string of two hexadecimal digits each: for `serialize_with`.
pub(crate) fn bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::string(bytes))
}

/// An address as a string in hexadecimal: for `with`.
pub(crate) mod address {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(crate) fn serialize<S: Serializer>(address: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{address:#x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        let digits =
            text.strip_prefix("0x").ok_or_else(|| D::Error::custom("an address is 0x.."))?;
        u64::from_str_radix(digits, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_path_that_is_no_text_keeps_its_bytes() {
        let path = |bytes: &[u8]| {
            let path = std::path::Path::new(OsStr::from_bytes(bytes)).to_path_buf();
            serde_json::to_string(&Path(&path)).unwrap()
        };
        assert_eq!(path(b"a/b"), r#""a/b""#);
        assert_eq!(path(b"a\xff"), r#"{"hex":"61ff"}"#);
    }
}
