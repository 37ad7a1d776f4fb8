//! How many connections there are, in all and of each peer.

use crate::metrics::{Connections, Refused};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The other side, as far as connections are counted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// An address; of version 6 its network, since whoever has one address of it has them all.
    Address(IpAddr),
    /// A user of this machine.
    User(u32),
}

/// The places for connections. Clones are the same places.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    per_origin_max: usize,
    metrics: Connections,
    /// Never more entries than there are connections.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of: HashMap<Origin, usize>,
}

/// The place of one connection. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    origin: Origin,
    places: Places,
}

impl Origin {
    /// Who calls from `address`.
    pub(super) fn of(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            v4 @ IpAddr::V4(_) => v4,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        })
    }
}

impl Places {
    /// So many, and so many for each origin.
    pub(super) fn new(max: usize, per_origin_max: usize, metrics: Connections) -> Self {
        Self(Arc::new(Shared {
            max,
            per_origin_max,
            metrics,
            taken: Mutex::default(),
        }))
    }

    /// A place, if one is left.
    pub(super) fn take(&self, origin: Origin) -> Result<Place, Refused> {
        self.with(|taken| {
            let of = taken.of.get(&origin).copied().unwrap_or_default();
            if of >= self.0.per_origin_max {
                return Err(Refused::ConnectionsOfPeer);
            }
            if taken.all >= self.0.max {
                return Err(Refused::Connections);
            }
            taken.of.insert(origin, of + 1);
            taken.all += 1;
            Ok(())
        })?;
        Ok(Place {
            origin,
            places: self.clone(),
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Taken) -> T) -> T {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut taken);
        self.0.metrics.shows(taken.all);
        changed
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.with(|taken| {
            taken.all = taken.all.saturating_sub(1);
            let of = taken.of.get(&self.origin).copied().unwrap_or_default();
            if of > 1 {
                taken.of.insert(self.origin, of - 1);
            } else {
                taken.of.remove(&self.origin);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn places_are_counted_in_all_and_by_origin() {
        let metrics = Metrics::new("1").unwrap();
        let places = Places::new(3, 2, metrics.connections.clone());
        let [a, b, c] = [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]].map(Origin::of_octets);
        let first = places.take(a).unwrap();
        let _second = places.take(a).unwrap();
        assert_eq!(places.take(a).unwrap_err(), Refused::ConnectionsOfPeer);
        let _third = places.take(b).unwrap();
        assert_eq!(places.take(c).unwrap_err(), Refused::Connections);
        let open = |count| format!("cvm_gateway_connections_open {count}\n");
        assert!(metrics.render().unwrap().contains(&open(3)));
        drop(first);
        assert!(metrics.render().unwrap().contains(&open(2)));
        let _fourth = places.take(a).unwrap();
        assert_eq!(places.take(a).unwrap_err(), Refused::ConnectionsOfPeer);
    }

    #[test]
    fn whoever_left_is_forgotten() {
        let metrics = Metrics::new("1").unwrap();
        let places = Places::new(3, 2, metrics.connections);
        for last in 0..=255 {
            drop(places.take(Origin::of_octets([10, 0, 0, last])).unwrap());
        }
        places.with(|taken| assert_eq!((taken.all, taken.of.len()), (0, 0)));
    }

    #[test]
    fn a_network_of_version_6_is_one_origin() {
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }

    impl Origin {
        fn of_octets(octets: [u8; 4]) -> Self {
            Self::of(octets.into())
        }
    }
}
