//! Metrics of connections: how many are open, which were not taken, and why they ended.

use super::{Inconsistent, Make};
use prometheus::{IntCounterVec, IntGaugeVec};

/// Why a connection was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There are as many as there may be.
    Connections,
    /// Its peer has as many as one may have.
    ConnectionsOfPeer,
    /// The system has no descriptor or memory for it: it waits in the system's queue.
    Resources,
    /// The gateway is about to run out of something.
    Overload,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The other side ended it, or was lost.
    Client,
    /// The other side was silent when it had to begin.
    Silent,
    /// No TLS came about.
    Handshake,
    /// The other side did not answer a ping.
    Keepalive,
    /// The other side broke HTTP/2's rules.
    Protocol,
    /// The other side went over a limit that only abuse goes over.
    Abuse,
    /// It was as old as one may become.
    Age,
    /// The gateway stops.
    Stop,
}

/// The connections of callers.
#[derive(Clone, Debug)]
pub struct Connections {
    /// Connections that are open now.
    open: IntGaugeVec,
    /// Connections that were not taken; `reason`.
    refused: IntCounterVec,
    /// Connections that ended; `reason`.
    ended: IntCounterVec,
}

impl Refused {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Connections,
        Self::ConnectionsOfPeer,
        Self::Resources,
        Self::Overload,
    ];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections_max",
            Self::ConnectionsOfPeer => "connections_per_peer_max",
            Self::Resources => "resources",
            Self::Overload => "overload",
        }
    }
}

impl Ended {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Client,
        Self::Silent,
        Self::Handshake,
        Self::Keepalive,
        Self::Protocol,
        Self::Abuse,
        Self::Age,
        Self::Stop,
    ];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Silent => "silent",
            Self::Handshake => "handshake",
            Self::Keepalive => "keepalive",
            Self::Protocol => "protocol",
            Self::Abuse => "abuse",
            Self::Age => "age",
            Self::Stop => "stop",
        }
    }
}

impl Connections {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let metrics = Self {
            open: make.gauges(
                "cvm_gateway_connections_open",
                "Connections of callers that are open now.",
                &[],
            )?,
            refused: make.counters(
                "cvm_gateway_connections_refused_total",
                "Connections of callers that were not taken.",
                &["reason"],
            )?,
            ended: make.counters(
                "cvm_gateway_connections_ended_total",
                "Connections of callers that ended.",
                &["reason"],
            )?,
        };
        metrics.shows(0);
        for reason in Refused::ALL.map(Refused::as_str) {
            metrics.refused.with_label_values(&[reason]).inc_by(0);
        }
        for reason in Ended::ALL.map(Ended::as_str) {
            metrics.ended.with_label_values(&[reason]).inc_by(0);
        }
        Ok(metrics)
    }

    /// Shows how many are open.
    pub fn shows(&self, open: usize) {
        let gauge = self.open.with_label_values::<&str>(&[]);
        gauge.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// Counts one that was not taken.
    pub fn refused(&self, why: Refused) {
        self.refused.with_label_values(&[why.as_str()]).inc();
    }

    /// Counts one that ended.
    pub fn ended(&self, why: Ended) {
        self.ended.with_label_values(&[why.as_str()]).inc();
    }
}
