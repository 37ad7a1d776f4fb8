//! How many connections there are, in all and of each peer.

use crate::metrics::{Connections, Pressure, Refused};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, watch};

/// Connections that are taken while the gateway is about to run out of something: so that who has none can follow,
/// cancel and give back, too, and ask for health.
const RESERVE: usize = 64;
/// And of one peer.
const RESERVE_PER_ORIGIN: usize = 8;
/// The part of all handshakes that those of one peer may be.
const HANDSHAKES_PART: usize = 8;

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
    handshakes_per_origin_max: usize,
    metrics: Connections,
    /// Never more entries than there are connections.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: Count,
    of: HashMap<Origin, OfOrigin>,
    /// Counts the times that the highest pressure has ended.
    reliefs: u64,
}

/// The connections of one peer.
#[derive(Clone, Debug)]
struct OfOrigin {
    count: Count,
    handshakes: Arc<Semaphore>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    connections: usize,
    /// Those of them that are of the reserve.
    reserve: usize,
}

/// The place of one connection. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    origin: Origin,
    /// If it is of the reserve, of that after so many reliefs.
    of_reserve: Option<u64>,
    handshakes: Arc<Semaphore>,
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

impl Count {
    fn enter(&mut self, of_reserve: bool) {
        self.connections += 1;
        self.reserve += usize::from(of_reserve);
    }

    fn leave(&mut self, of_reserve: bool) {
        self.connections = self.connections.saturating_sub(1);
        self.reserve = self.reserve.saturating_sub(usize::from(of_reserve));
    }
}

impl Places {
    /// So many, and so many for each origin, which may have a part of `handshakes_max` at once.
    pub(super) fn new(
        max: usize,
        per_origin_max: usize,
        handshakes_max: usize,
        metrics: Connections,
    ) -> Self {
        Self(Arc::new(Shared {
            max,
            per_origin_max,
            handshakes_per_origin_max: (handshakes_max / HANDSHAKES_PART).max(1),
            metrics,
            taken: Mutex::default(),
        }))
    }

    /// A place, if one is left; under the highest `pressure` one of the reserve.
    pub(super) fn take(&self, origin: Origin, pressure: Pressure) -> Result<Place, Refused> {
        let of_reserve = pressure == Pressure::Critical;
        let (handshakes, reliefs) = self.with(|taken| {
            let fresh = || OfOrigin {
                count: Count::default(),
                handshakes: Arc::new(Semaphore::new(self.0.handshakes_per_origin_max)),
            };
            let mut of = taken.of.get(&origin).cloned().unwrap_or_else(fresh);
            self.0.has_room(of.count, taken.all, of_reserve)?;
            of.count.enter(of_reserve);
            taken.all.enter(of_reserve);
            let handshakes = Arc::clone(&of.handshakes);
            taken.of.insert(origin, of);
            Ok((handshakes, taken.reliefs))
        })?;
        Ok(Place {
            origin,
            of_reserve: of_reserve.then_some(reliefs),
            handshakes,
            places: self.clone(),
        })
    }

    /// Has the reserve whole again whenever the pressure has ended, also when nobody comes before the next one.
    pub(super) async fn keep_reserve(self, mut pressure: watch::Receiver<Pressure>) {
        while pressure.changed().await.is_ok() {
            if *pressure.borrow_and_update() == Pressure::Calm {
                self.with(Taken::relieve);
            }
        }
        // Who told of it is gone when the gateway is.
        std::future::pending().await
    }

    fn with<T>(&self, change: impl FnOnce(&mut Taken) -> T) -> T {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut taken);
        self.0.metrics.shows(taken.all.connections);
        changed
    }
}

impl Taken {
    /// The pressure has ended: who came under it stays as everybody else, and the whole reserve is there for the next
    /// time.
    fn relieve(&mut self) {
        if self.all.reserve > 0 {
            self.reliefs += 1;
            self.all.reserve = 0;
            for of in self.of.values_mut() {
                of.count.reserve = 0;
            }
        }
    }
}

impl Shared {
    /// Whether one more fits beside those of its origin and those of all.
    fn has_room(&self, of: Count, all: Count, of_reserve: bool) -> Result<(), Refused> {
        if of_reserve && (of.reserve >= RESERVE_PER_ORIGIN || all.reserve >= RESERVE) {
            return Err(Refused::Overload);
        }
        if of.connections >= self.per_origin_max {
            return Err(Refused::ConnectionsOfPeer);
        }
        if all.connections >= self.max {
            return Err(Refused::Connections);
        }
        Ok(())
    }
}

impl Place {
    /// The handshakes that the connections of its origin may be in at once.
    pub(super) fn handshakes(&self) -> &Semaphore {
        &self.handshakes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.with(|taken| {
            let of_reserve = self.of_reserve == Some(taken.reliefs);
            taken.all.leave(of_reserve);
            let Some(of) = taken.of.get_mut(&self.origin) else {
                return;
            };
            of.count.leave(of_reserve);
            if of.count.connections == 0 {
                taken.of.remove(&self.origin);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn places_are_counted_in_all_and_by_origin() {
        let metrics = Metrics::new("1").unwrap();
        let places = Places::new(3, 2, 8, metrics.connections.clone());
        let [a, b, c] = [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]].map(Origin::of_octets);
        let first = places.take(a, Pressure::Calm).unwrap();
        let _second = places.take(a, Pressure::Calm).unwrap();
        assert_eq!(
            places.take(a, Pressure::Calm).unwrap_err(),
            Refused::ConnectionsOfPeer
        );
        let _third = places.take(b, Pressure::Calm).unwrap();
        assert_eq!(
            places.take(c, Pressure::Calm).unwrap_err(),
            Refused::Connections
        );
        let open = |count| format!("cvm_gateway_connections_open {count}\n");
        assert!(metrics.render().unwrap().contains(&open(3)));
        drop(first);
        assert!(metrics.render().unwrap().contains(&open(2)));
        let _fourth = places.take(a, Pressure::Calm).unwrap();
        assert_eq!(
            places.take(a, Pressure::Calm).unwrap_err(),
            Refused::ConnectionsOfPeer
        );
    }

    #[test]
    fn whoever_left_is_forgotten() {
        let metrics = Metrics::new("1").unwrap();
        let places = Places::new(3, 2, 8, metrics.connections);
        for last in 0..=255 {
            drop(
                places
                    .take(Origin::of_octets([10, 0, 0, last]), Pressure::Critical)
                    .unwrap(),
            );
        }
        places.with(|taken| assert_eq!((taken.all, taken.of.len()), (Count::default(), 0)));
    }

    #[test]
    fn under_the_highest_pressure_there_is_a_reserve() {
        let metrics = Metrics::new("1").unwrap();
        let places = Places::new(1000, 500, 8, metrics.connections);
        let critical = Pressure::Critical;
        let origin = |number: usize| {
            let last = u8::try_from(number / RESERVE_PER_ORIGIN).unwrap();
            Origin::of_octets([10, 0, 0, last])
        };
        // Those that were there before are none of it.
        let before = (0..RESERVE).map(|number| places.take(origin(number), Pressure::Calm));
        let mut held: Vec<Place> = before.map(Result::unwrap).collect();
        for number in 0..RESERVE {
            let origin = origin(number);
            held.push(places.take(origin, critical).unwrap());
            let of_origin = number % RESERVE_PER_ORIGIN + 1;
            assert_eq!(
                places.take(origin, critical).is_ok(),
                of_origin < RESERVE_PER_ORIGIN && number + 1 < RESERVE
            );
        }
        let last = Origin::of_octets([10, 0, 1, 1]);
        assert_eq!(places.take(last, critical).unwrap_err(), Refused::Overload);
        drop(held.pop());
        places.take(last, critical).unwrap();
    }

    /// Nobody needs to come meanwhile.
    #[tokio::test]
    async fn the_reserve_is_whole_again_after_the_pressure() {
        let metrics = Metrics::new("1").unwrap();
        let places = Places::new(1000, 500, 8, metrics.connections);
        let (sender, pressure) = watch::channel(Pressure::Critical);
        let mut kept = pin!(places.clone().keep_reserve(pressure));
        let mut becomes = |pressure| {
            sender.send_replace(pressure);
            let mut context = Context::from_waker(Waker::noop());
            assert!(kept.as_mut().poll(&mut context).is_pending());
        };
        let a = Origin::of_octets([10, 0, 0, 1]);
        let reserve = || std::array::from_fn(|_| places.take(a, Pressure::Critical).unwrap());
        let early: [Place; RESERVE_PER_ORIGIN] = reserve();
        places.take(a, Pressure::Critical).unwrap_err();
        becomes(Pressure::High);
        becomes(Pressure::Critical);
        places.take(a, Pressure::Critical).unwrap_err();
        becomes(Pressure::Calm);
        becomes(Pressure::Critical);
        let late: [Place; RESERVE_PER_ORIGIN] = reserve();
        drop(early);
        // Those that left were of the reserve no more.
        let refused = places.take(a, Pressure::Critical).unwrap_err();
        assert_eq!(refused, Refused::Overload);
        drop(late);
        places.take(a, Pressure::Critical).unwrap();
    }

    #[test]
    fn handshakes_are_counted_by_origin() {
        let metrics = Metrics::new("1").unwrap();
        for (max, of_one) in [(256, 32), (1, 1)] {
            let places = Places::new(9, 9, max, metrics.connections.clone());
            let [a, b] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(Origin::of_octets);
            let [first, second] = [a, a].map(|a| places.take(a, Pressure::Calm).unwrap());
            let all = first.handshakes().try_acquire_many(of_one).unwrap();
            assert!(second.handshakes().try_acquire().is_err());
            let other = places.take(b, Pressure::Calm).unwrap();
            drop(other.handshakes().try_acquire().unwrap());
            drop(all);
            drop(second.handshakes().try_acquire().unwrap());
        }
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
