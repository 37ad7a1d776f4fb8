//! Who may see the console: this machine, and others only at a name that the configuration gives.

use crate::domain::names::is_loopback_host;
use axum::http::{HeaderMap, HeaderValue, header};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// What proxies add for those whose requests they bring: from this machine is then only the proxy.
const BROUGHT: [&str; 3] = ["forwarded", "x-forwarded-for", "via"];

/// Why somebody may not see it.
const NOT_HERE: &str = "The console is shown on this machine only, because whoever sees it sees the operations of all \
     organisations. Come through a tunnel (ssh -L, kubectl port-forward), or name the address that all may \
     see it at in admin.show_console_to_all_at.\n";
const NOT_BY_THAT_NAME: &str = "The console is not called by this name here. Come by localhost, or add the name to \
     admin.show_console_to_all_at: other names are refused so that no page of the web can have a browser \
     read the console under a name of its own.\n";

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    here: Option<SocketAddr>,
    there: SocketAddr,
}

impl Ends {
    /// Those of a connection from `there`.
    pub(in crate::admin) fn of(stream: &TcpStream, there: SocketAddr) -> Self {
        let here = stream.local_addr().ok();
        Self { here, there }
    }

    fn are_here(self) -> bool {
        let is_here = |end: SocketAddr| end.ip().to_canonical().is_loopback();
        is_here(self.there) && self.here.is_some_and(is_here)
    }
}

/// Why a request may not see the console that all may see at `names`.
pub(super) fn refusal(
    names: &[String],
    ends: Option<Ends>,
    headers: &HeaderMap,
) -> Option<&'static str> {
    let host = headers.get(header::HOST).map(HeaderValue::to_str);
    let host = host.and_then(Result::ok).unwrap_or_default();
    let name = without_port(host).to_ascii_lowercase();
    if names.contains(&name) {
        return None;
    }
    let brought = BROUGHT.iter().any(|name| headers.contains_key(*name));
    if brought || !ends.is_some_and(Ends::are_here) {
        return Some(NOT_HERE);
    }
    (!is_loopback_host(&name)).then_some(NOT_BY_THAT_NAME)
}

/// The name or address of `NAME:PORT`, `[ADDRESS]:PORT`, or either without a port.
fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.split(':').next().unwrap_or_default()
}

/// What a browser must keep to: nothing of elsewhere is loaded, nothing is kept, no other page frames it.
pub(super) const HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn ends(here: &str, there: &str) -> Option<Ends> {
        Some(Ends {
            here: Some(here.parse().unwrap()),
            there: there.parse().unwrap(),
        })
    }

    fn asked(host: &'static str, extra: &[(&'static str, &'static str)]) -> HeaderMap {
        let host = [("host", host)];
        let all = host.iter().chain(extra);
        all.map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        })
        .collect()
    }

    #[test]
    fn this_machine_sees_it_and_no_other() {
        let here = ends("127.0.0.1:7081", "127.0.0.1:50000");
        for host in [
            "localhost:7081",
            "LOCALHOST",
            "127.0.0.1:7081",
            "[::1]:7081",
            "127.0.0.9",
        ] {
            assert_eq!(refusal(&[], here, &asked(host, &[])), None, "{host}");
        }
        let mapped = ends("[::1]:7081", "[::ffff:127.0.0.1]:50000");
        assert_eq!(refusal(&[], mapped, &asked("[::1]", &[])), None);
        let local = asked("localhost", &[]);
        for other in [
            ends("10.0.0.1:7081", "10.0.0.2:50000"),
            // Its own address, as a proxy of a mesh comes.
            ends("10.0.0.1:7081", "127.0.0.6:50000"),
            ends("127.0.0.1:7081", "10.0.0.2:50000"),
            None,
        ] {
            assert_eq!(refusal(&[], other, &local), Some(NOT_HERE), "{other:?}");
        }
        for header in BROUGHT {
            let brought = asked("localhost", &[(header, "1")]);
            assert_eq!(refusal(&[], here, &brought), Some(NOT_HERE), "{header}");
        }
    }

    #[test]
    fn a_name_that_nobody_gave_it_is_refused() {
        let here = ends("127.0.0.1:7081", "127.0.0.1:50000");
        for host in [
            "evil.example:7081",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            "[",
            "0.0.0.0",
        ] {
            let refused = refusal(&[], here, &asked(host, &[]));
            assert_eq!(refused, Some(NOT_BY_THAT_NAME), "{host}");
        }
        let names = ["console.internal".to_owned()];
        let elsewhere = ends("10.0.0.1:7081", "10.0.0.2:50000");
        let named = asked("Console.Internal:7081", &[("via", "1")]);
        assert_eq!(refusal(&names, elsewhere, &named), None);
        let unnamed = asked("10.0.0.1:7081", &[]);
        assert_eq!(refusal(&names, elsewhere, &unnamed), Some(NOT_HERE));
    }
}
