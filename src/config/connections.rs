//! What connections are held to: settings of the table `grpc`.

use super::read::size;
use super::section::Section;
use crate::grpc::door::Settings;
use std::time::Duration;

/// A process has a million descriptors at most, unless the system is told otherwise.
const CONNECTIONS_MAX: u32 = 1_000_000;
/// Largest header list that can be configured.
const HEADER_LIST_BYTES_MAX: u32 = 16 << 20;
/// Older connections keep who balances load from doing so.
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Streams last as long as launches.
const GRACE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn door(table: &mut Section<'_>) -> Settings {
    Settings {
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
