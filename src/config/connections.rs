//! What connections and their calls are held to: settings of the table `grpc`.

use super::read::size;
use super::section::{Section, address};
use super::{Listen, Overload};
use crate::grpc::{admission, door, web};
use http::{HeaderValue, Uri};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A process has a million descriptors at most, unless the system is told otherwise.
const CONNECTIONS_MAX: u32 = 1_000_000;
/// Largest header list that can be configured.
const HEADER_LIST_BYTES_MAX: u32 = 16 << 20;
/// Older connections keep who balances load from doing so.
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Streams last as long as launches.
const GRACE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Each takes some kilobytes.
const CALLS_MAX: u32 = 1_000_000;
/// Who waits longer for a turn has given up.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A way to listen that is no address.
const INHERITED: &str = "systemd";
const UNIX: &str = "unix:";
/// The system's limit is 108, and the socket is made beside its place first.
const SOCKET_PATH_BYTES_MAX: usize = 90;

/// Where callers come; `exposed` is why only this machine may reach it.
pub(super) fn listen(table: &mut Section<'_>, folder: &Path, exposed: Option<&str>) -> Vec<Listen> {
    table.text_or_texts("listen", |text| {
        if text == INHERITED {
            return Ok(Listen::Inherited);
        }
        let Some(path) = text.strip_prefix(UNIX) else {
            return address(text, exposed).map(Listen::Tcp);
        };
        let path = folder.join(path);
        match path.as_os_str().len() {
            _ if text == UNIX => Err(format!("`{text}` names no file; write \"unix:PATH\"")),
            length if length > SOCKET_PATH_BYTES_MAX => Err(format!(
                "the path has {length} bytes, and a socket's may have {SOCKET_PATH_BYTES_MAX}; name a shorter one"
            )),
            _ => Ok(Listen::Unix(path)),
        }
    })
}

/// Of two listeners in one place only the first one can be bound.
pub(super) fn check_listeners(table: &Section<'_>, listen: &[Listen], admin: SocketAddr) {
    for (number, one) in listen.iter().enumerate() {
        if listen.iter().take(number).any(|other| collide(one, other)) {
            let rule = format_args!("{one} is taken by another one of them");
            table.refuse_key("listen", rule);
        }
        if collide(one, &Listen::Tcp(admin)) {
            let rule = format_args!("{one} is taken by admin.listen, {admin}");
            table.refuse_key("listen", rule);
        }
    }
}

/// Port 0 is another one each time; an address that stands for all takes the port of each.
fn collide(one: &Listen, other: &Listen) -> bool {
    let (Listen::Tcp(one), Listen::Tcp(other)) = (one, other) else {
        return one == other;
    };
    let all = one.ip().is_unspecified() || other.ip().is_unspecified();
    let same = one.ip() == other.ip() || all && one.is_ipv4() == other.is_ipv4();
    same && one.port() == other.port() && one.port() != 0
}

/// Who may open a socket, as `chmod` writes it.
pub(super) fn mode(table: &mut Section<'_>) -> u32 {
    let mode = table.text_as("unix_socket_mode", |text| {
        let mode = u32::from_str_radix(text, 8).ok();
        let mode = mode.filter(|mode| text.len() == 4 && *mode <= 0o777);
        mode.ok_or_else(|| format!("`{text}` is no mode; write four octal digits like \"0660\""))
    });
    mode.unwrap_or_default()
}

/// What its connections are held to.
pub(super) fn door(table: &mut Section<'_>) -> door::Settings {
    door::Settings {
        connections_max: size(table.count("connections_max", 1..=CONNECTIONS_MAX)),
        connections_per_peer_max: size(
            table.count("connections_per_peer_max", 1..=CONNECTIONS_MAX),
        ),
        first_byte_timeout: table.duration("first_byte_timeout"),
        handshake_timeout: table.duration("handshake_timeout"),
        handshakes_max: size(table.count("handshakes_max", 1..=10_000)),
        streams_per_connection_max: table.count("streams_per_connection_max", 1..=100_000),
        header_list_bytes_max: table.bytes("header_list_bytes_max", 1..=HEADER_LIST_BYTES_MAX),
        resets_pending_max: size(table.count("resets_pending_max", 1..=10_000)),
        resets_by_error_max: size(table.count("resets_by_error_max", 1..=100_000)),
        keepalive_interval: table.duration("keepalive_interval"),
        keepalive_timeout: table.duration("keepalive_timeout"),
        connection_age_max: table.duration_within("connection_age_max", Duration::ZERO..=AGE_MAX),
        connection_age_grace: table
            .duration_within("connection_age_grace", Duration::ZERO..=GRACE_MAX),
    }
}

/// Which pages may call from browsers.
pub(super) fn web(table: &mut Section<'_>) -> Option<web::Settings> {
    let enabled = table.flag("enabled");
    let origins = table.texts("origins", origin);
    enabled.then_some(web::Settings { origins })
}

/// How many of their calls are worked on, and how many wait.
pub(super) fn admission(table: &mut Section<'_>) -> admission::Settings {
    let mut places = |key| size(table.count(key, 1..=CALLS_MAX));
    admission::Settings {
        at_work_max: places("at_work_max"),
        at_work_per_organization_max: places("at_work_per_organization_max"),
        waiting_per_organization_max: places("waiting_per_organization_max"),
        wait_max: table.duration_within("wait_max", Duration::from_millis(1)..=WAIT_MAX),
    }
}

/// When the gateway gives up what can wait.
pub(super) fn overload(table: &mut Section<'_>) -> Overload {
    let memory_max_mib = table.count("memory_max_mib", 0..=u32::MAX);
    let settings = Overload {
        memory_max_mib: (memory_max_mib > 0).then_some(memory_max_mib),
        high_percent: table.count("high_percent", 1..=100),
        critical_percent: table.count("critical_percent", 1..=100),
    };
    if settings.critical_percent < settings.high_percent {
        table.refuse("`critical_percent` is below `high_percent`; write at least as much");
    }
    settings
}

/// An origin as browsers write it: anything else would never match.
fn origin(text: &str) -> Result<HeaderValue, &'static str> {
    let rule = "is no origin; write one like \"https://console.example\", as browsers do: no path, small letters, no port that needs none";
    let uri: Uri = text.parse().map_err(|_none| rule)?;
    let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or(rule)?;
    let usual = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return Err(rule),
    };
    let written = format!("{scheme}://{authority}").to_lowercase();
    let said = !authority.as_str().contains(['@', '*']) && authority.port_u16() != Some(usual);
    let value = HeaderValue::from_str(text).ok();
    value.filter(|_| said && written == text).ok_or(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_write() {
        for (text, sound) in [
            ("https://console.example", true),
            ("http://localhost:3000", true),
            ("https://[::1]:8443", true),
            ("https://console.example/", false),
            ("https://Console.example", false),
            ("https://user@console.example", false),
            ("https://*.example", false),
            ("console.example", false),
            ("https://console.example:443", false),
            ("http://console.example:80", false),
            ("http://console.example:443", true),
            ("ftp://console.example", false),
            ("null", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(origin(text).is_ok(), sound, "{text}");
        }
    }
}
