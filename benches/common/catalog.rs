//! The catalogue of the simulated cloud, with room for all that benchmarks launch.

use cvm_gateway::simulator::{Catalog, EMBEDDED};

/// What would refuse the ten thousand and first machine.
const ROOM: [(&str, &str); 2] = [
    ("hourly_per_zone = 10000", "hourly_per_zone = 1000000"),
    (
        r#""S5.SMALL1", cpu = 1, memory_gib = 1, stock = 10000"#,
        r#""S5.SMALL1", cpu = 1, memory_gib = 1, stock = 1000000"#,
    ),
];

/// The embedded catalogue with room, and with these changes.
pub(crate) fn roomy(changes: &[(&str, &str)]) -> Catalog {
    let mut text = EMBEDDED.to_owned();
    for (limit, none) in ROOM.iter().chain(changes) {
        assert!(text.contains(limit), "the catalogue has no {limit:?}");
        text = text.replacen(limit, none, 1);
    }
    Catalog::parse(&text).unwrap()
}
