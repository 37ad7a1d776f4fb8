//! Names that reach host names, headers or the journal: they parse or they do not exist.

use crate::domain::ids::{Malformed, text_id};
use std::net::IpAddr;

/// An account name labels metrics and logs, so it stays short.
const ACCOUNT_BYTES_MAX: usize = 64;
/// The longest region of the cloud has 16 bytes; a DNS label ends at 63.
const REGION_BYTES_MAX: usize = 32;

text_id!(
    /// The operator's name for a cloud account whose credential the gateway holds.
    AccountName,
    "account",
    "1 to 64 characters of a-z 0-9 - _",
    |text| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        (1..=ACCOUNT_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
    }
);

text_id!(
    /// A region of the cloud, e.g. `ap-shanghai` or `ap-shanghai-fsi`. Whether it exists, the cloud
    /// says.
    ///
    /// It becomes a label of the host that a request is signed for and sent to, so nothing that
    /// could end, extend or redirect a host name parses.
    Region,
    "region",
    "a region of the cloud such as ap-shanghai",
    |text| {
        let letters = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
        let digits = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        let mut words = text.split('-');
        let area = words.next().is_some_and(|w| letters(w) && (2..=4).contains(&w.len()));
        let place = words.next().is_some_and(letters);
        let rest = words.all(|word| letters(word) || digits(word));
        text.len() <= REGION_BYTES_MAX && area && place && rest
    }
);

impl Region {
    /// Finance regions are separate clouds that only their own host can reach.
    #[must_use]
    pub fn is_finance(&self) -> bool {
        self.as_str().ends_with("-fsi")
    }
}

/// Whether what goes to this host of a URL stays on this machine: a loopback address, or `localhost`.
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let address = bare.unwrap_or(host).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_the_cloud_parse() {
        for text in [
            "ap-shanghai",
            "ap-shanghai-fsi",
            "na-siliconvalley",
            "ap-guangzhou-open",
            "ap-xian-2",
        ] {
            let region = Region::parse(text).unwrap();
            assert_eq!(region.to_string(), text);
            assert_eq!(region.is_finance(), text == "ap-shanghai-fsi");
        }
    }

    #[test]
    fn nothing_that_could_change_a_host_is_a_region() {
        for text in [
            "",
            " ",
            "-",
            "--",
            "ap",
            "ap-",
            "-ap",
            "ap--shanghai",
            "ap-shanghai-",
            "a-shanghai",
            "asiap-shanghai",
            "ap-2",
            "ap-2-shanghai",
            "AP-SHANGHAI",
            "ap-Shanghai",
            "ap_shanghai",
            "ap-shanghai.evil.example",
            "ap-shanghai.",
            ".ap-shanghai",
            "ap-shanghai/",
            "ap-shanghai/../..",
            "ap-shanghai\\evil",
            "ap-shanghai@evil.example",
            "evil.example#ap-shanghai",
            "evil.example?ap-shanghai",
            "ap-shanghai:443",
            "ap-shanghai%2eevil",
            "ap-shanghai%00",
            "ap-shanghai\0",
            "ap-shanghai\r\nHost: evil.example",
            "ap-shanghai\n",
            "\tap-shanghai",
            "ap-shanghai ",
            " ap-shanghai",
            "ap shanghai",
            "ap-шанхай",
            "ap-上海",
            "ap\u{2010}shanghai",
            "ap-shangha\u{131}",
            "ap-shanghai\u{200b}",
            "127.0.0.1",
            "[::1]",
            "localhost",
            "http://ap-shanghai",
            "ap-shanghai-fsi-2x",
            "ap-abcdefghijklmnopqrstuvwxyzabcd",
        ] {
            assert_eq!(Region::parse(text).map_err(drop), Err(()), "{text:?}");
        }
    }

    #[test]
    fn account_names_are_short_and_plain() {
        assert_eq!(AccountName::parse("prod_1-a").unwrap().as_str(), "prod_1-a");
        let long = "a".repeat(ACCOUNT_BYTES_MAX + 1);
        for text in ["", "Prod", "a b", "a\"b", "a\n", "ä", &long] {
            assert_eq!(AccountName::parse(text).map_err(drop), Err(()), "{text:?}");
        }
    }

    #[test]
    fn what_stays_on_this_machine() {
        for (host, stays) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.9.8.7", true),
            ("[::1]", true),
            ("localhost.example", false),
            ("128.0.0.1", false),
            ("[::2]", false),
            ("[::ffff:127.0.0.1]", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_host(host), stays, "{host}");
        }
    }
}
