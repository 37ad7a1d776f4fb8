//! Costs as ratios to the floor of the machine.

fn main() {}
