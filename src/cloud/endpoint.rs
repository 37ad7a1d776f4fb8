//! Which host a call goes to, and the host text that its signature covers.

use super::SettingsError;
use crate::domain::names::{Region, is_loopback_host};
use reqwest::Url;

/// The cloud's domains: its own, the international one, and the one inside its private networks.
pub const DOMAINS: [&str; 3] = [
    "tencentcloudapi.com",
    "intl.tencentcloudapi.com",
    "internal.tencentcloudapi.com",
];

/// Where the CVM API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Rule);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Domain {
        domain: &'static str,
        regional: bool,
    },
    Fixed(Address),
}

/// One host, ready to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The URL to post to; its path is `/`.
    pub url: String,
    /// The `Host` header as it goes out: with the port, unless that is the scheme's own.
    pub host: String,
}

impl Endpoint {
    /// Reads the settings: a domain of [`DOMAINS`]; whether to pin the access region by calling
    /// the region's own host; and a base URL that replaces both, e.g. a simulator's.
    ///
    /// # Errors
    /// [`SettingsError`] for an unknown domain, for a URL that is more than scheme, host and port,
    /// and for plain http to anything but a loopback address.
    pub fn parse(
        domain: &str,
        regional: bool,
        override_url: Option<&str>,
    ) -> Result<Self, SettingsError> {
        if let Some(text) = override_url {
            return parse_override(text).map(|address| Self(Rule::Fixed(address)));
        }
        let known = DOMAINS.into_iter().find(|known| *known == domain);
        let domain = known.ok_or_else(|| SettingsError::Domain(domain.to_owned()))?;
        Ok(Self(Rule::Domain { domain, regional }))
    }

    /// Whether it is a simulator on this machine: plain http is taken for nothing else.
    #[must_use]
    pub fn is_simulator(&self) -> bool {
        match &self.0 {
            Rule::Fixed(address) => address.url.starts_with("http:"),
            Rule::Domain { .. } => false,
        }
    }

    /// What the prices of the site are in: its mainland one says yuan, its international one dollars.
    #[must_use]
    pub fn currency(&self) -> &'static str {
        match &self.0 {
            Rule::Domain { domain, .. } if domain.starts_with("intl.") => "USD",
            Rule::Domain { .. } | Rule::Fixed(_) => "CNY",
        }
    }

    /// The host for calls about `region`. Finance regions are reached at their own host only.
    #[must_use]
    pub fn address(&self, region: &Region) -> Address {
        match &self.0 {
            Rule::Fixed(address) => address.clone(),
            Rule::Domain { domain, regional } => at("cvm", region, domain, *regional),
        }
    }

    /// The host for calls that are about no region, by an account that launches in `region`: the
    /// nearest. Finance regions know none but their own.
    #[must_use]
    pub fn nearest(&self, region: &Region) -> Address {
        match &self.0 {
            Rule::Fixed(address) => address.clone(),
            Rule::Domain { domain, .. } => at("cvm", region, domain, false),
        }
    }

    /// The host of the service that hands out temporary keys, for an account that launches in `region`.
    #[must_use]
    pub fn sts(&self, region: &Region) -> Address {
        match &self.0 {
            Rule::Fixed(address) => address.clone(),
            Rule::Domain { domain, .. } => at("sts", region, domain, false),
        }
    }
}

fn at(service: &str, region: &Region, domain: &str, regional: bool) -> Address {
    let host = if regional || region.is_finance() {
        format!("{service}.{region}.{domain}")
    } else {
        format!("{service}.{domain}")
    };
    Address {
        url: format!("https://{host}/"),
        host,
    }
}

fn parse_override(text: &str) -> Result<Address, SettingsError> {
    let refuse = |problem| SettingsError::Override {
        url: without_user(text),
        problem,
    };
    let Ok(url) = Url::parse(text) else {
        return Err(refuse("is not a URL"));
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("names a user"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("has more than a host and a port"));
    }
    let Some(name) = url.host_str() else {
        return Err(refuse("has no host"));
    };
    if !is_written_so(&url, text) {
        return Err(refuse("is not how such a URL is written"));
    }
    if url.scheme() == "http" && !is_loopback_host(name) {
        return Err(SettingsError::PlainHttp(text.to_owned()));
    }
    let host = match url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    };
    Ok(Address {
        host,
        url: url.into(),
    })
}

/// Whether the text is the URL to the letter, but for capitals, a slash at its end and the usual port.
/// URLs forgive much: what they drop or put straight could be read as another host by a person.
pub(super) fn is_written_so(url: &Url, text: &str) -> bool {
    let usual = match url.scheme() {
        "http" => ":80",
        _ => ":443",
    };
    let bare = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let bare = match url.port() {
        None => bare.strip_suffix(usual).unwrap_or(&bare),
        Some(_) => &bare,
    };
    url.as_str().strip_suffix('/') == Some(bare)
}

/// A URL may carry a password, and an error text may be shown to anyone.
fn without_user(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> Region {
        Region::parse(name).unwrap()
    }

    #[test]
    fn hosts_follow_the_contract() {
        for (domain, regional, name, host) in [
            (0, false, "ap-shanghai", "cvm.tencentcloudapi.com"),
            (
                0,
                true,
                "ap-guangzhou",
                "cvm.ap-guangzhou.tencentcloudapi.com",
            ),
            (
                0,
                false,
                "ap-shanghai-fsi",
                "cvm.ap-shanghai-fsi.tencentcloudapi.com",
            ),
            (
                0,
                true,
                "ap-shanghai-fsi",
                "cvm.ap-shanghai-fsi.tencentcloudapi.com",
            ),
            (1, false, "ap-singapore", "cvm.intl.tencentcloudapi.com"),
            (
                1,
                true,
                "ap-singapore",
                "cvm.ap-singapore.intl.tencentcloudapi.com",
            ),
            (2, false, "ap-shanghai", "cvm.internal.tencentcloudapi.com"),
        ] {
            let endpoint = Endpoint::parse(DOMAINS[domain], regional, None).unwrap();
            let address = endpoint.address(&region(name));
            assert_eq!(address.host, host);
            assert_eq!(address.url, format!("https://{host}/"));
            assert_eq!(Url::parse(&address.url).unwrap().host_str(), Some(host));
        }
    }

    #[test]
    fn the_nearest_host_depends_on_no_region() {
        for (regional, name, host) in [
            (false, "ap-shanghai", "cvm.tencentcloudapi.com"),
            (true, "ap-nowhere", "cvm.tencentcloudapi.com"),
            (
                true,
                "ap-shanghai-fsi",
                "cvm.ap-shanghai-fsi.tencentcloudapi.com",
            ),
        ] {
            let endpoint = Endpoint::parse(DOMAINS[0], regional, None).unwrap();
            assert_eq!(endpoint.nearest(&region(name)).host, host);
        }
    }

    #[test]
    fn an_override_is_the_same_for_every_region() {
        for (text, url, host) in [
            (
                "http://127.0.0.1:18080",
                "http://127.0.0.1:18080/",
                "127.0.0.1:18080",
            ),
            ("http://127.8.9.1:1", "http://127.8.9.1:1/", "127.8.9.1:1"),
            ("http://localhost:80", "http://localhost/", "localhost"),
            ("http://[::1]:8080/", "http://[::1]:8080/", "[::1]:8080"),
            (
                "https://cvm.example:443/",
                "https://cvm.example/",
                "cvm.example",
            ),
            (
                "https://cvm.example:8443",
                "https://cvm.example:8443/",
                "cvm.example:8443",
            ),
        ] {
            let endpoint = Endpoint::parse("", true, Some(text)).unwrap();
            assert_eq!(endpoint.is_simulator(), text.starts_with("http:"));
            for name in ["ap-shanghai", "ap-shanghai-fsi"] {
                let address = endpoint.address(&region(name));
                assert_eq!((address.url.as_str(), address.host.as_str()), (url, host));
            }
        }
    }

    #[test]
    fn bad_overrides_name_the_setting_and_the_remedy() {
        for text in [
            "",
            "cvm.example",
            "127.0.0.1:18080",
            "//cvm.example",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
            "unix:/run/x",
            "https://",
            "https://user@cvm.example",
            "https://user:canary@cvm.example",
            "https://user:canary@cvm.example:bad",
            "https://cvm.example/v1",
            "https://cvm.example/?a=b",
            "https://cvm.example/#a",
            "http://cvm.example",
            "http://10.0.0.1:80",
            "http://128.0.0.1",
            "http://0.0.0.0",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "http://evil.localhost",
            "http://[::2]",
            "http://[::ffff:10.0.0.1]",
            "http://127.0.0.1@evil.example",
        ] {
            let error = Endpoint::parse(DOMAINS[0], false, Some(text)).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with("cloud.endpoint.override:"), "{message}");
            assert!(message.contains("; use "), "{message}");
            assert!(!message.contains("canary"), "{message}");
        }
    }

    #[test]
    fn only_domains_of_the_cloud_are_signed_for() {
        for text in [
            "",
            "evil.example",
            "tencentcloudapi.com.evil.example",
            "TENCENTCLOUDAPI.COM",
        ] {
            let error = Endpoint::parse(text, false, None).unwrap_err().to_string();
            assert!(error.contains("intl.tencentcloudapi.com"), "{error}");
        }
    }
}
