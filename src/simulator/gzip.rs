//! Compresses answers for clients that ask for it, as official SDKs do.

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, header};
use std::io::Write;

/// Shorter answers are sent as they are: compressing them saves nothing.
const WORTH_IT: usize = 1024;

/// The answer compressed, when the client takes that and it is worth it.
pub(super) fn compressed(headers: &HeaderMap, answer: &[u8]) -> Option<Vec<u8>> {
    if answer.len() < WORTH_IT || !accepts(headers) {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(answer).ok()?;
    encoder.finish().ok()
}

/// Whether an Accept-Encoding names gzip and does not exclude it with `q=0`.
fn accepts(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let mut codings = lines.flat_map(|line| line.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().trim_start_matches("q=").parse::<f64>();
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    fn asking(accepted: &str) -> HeaderMap {
        let value = accepted.parse().unwrap();
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)])
    }

    #[test]
    fn only_who_asks_gets_gzip() {
        let answer = "{}".repeat(1000).into_bytes();
        let rows = [
            ("gzip", true),
            ("gzip, deflate", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=1", true),
            ("gzip;q=1.0", true),
            ("gzip; q=0.001", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("deflate", false),
            ("*", false),
            ("", false),
        ];
        for (accepted, expected) in rows {
            let packed = compressed(&asking(accepted), &answer);
            assert_eq!(packed.is_some(), expected, "{accepted}");
            if let Some(packed) = packed {
                let mut unpacked = Vec::new();
                GzDecoder::new(packed.as_slice())
                    .read_to_end(&mut unpacked)
                    .unwrap();
                assert!(packed.len() < 100 && unpacked == answer);
            }
        }
        assert!(compressed(&HeaderMap::new(), &answer).is_none());
        assert!(compressed(&asking("gzip"), b"{}").is_none());
    }
}
